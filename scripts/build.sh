#!/bin/sh
# SPDX-License-Identifier: MIT
# The optimised build in build/release: scripts/build.sh [install]. PREFIX and DESTDIR as usual.
. "$(dirname "$0")/lib.sh"

scripts/deps.sh build >&2
scripts/deps.sh fastpath >&2 || echo "going on without TURN in the kernel" >&2
configure release build/release -DCMAKE_INSTALL_PREFIX="${PREFIX:-/usr/local}" -DBODKIN_TESTS=OFF
build build/release
[ "${1:-}" != install ] || cmake --install build/release
