#!/bin/sh
# SPDX-License-Identifier: MIT
# make test with clang: every test under ASan and UBSan, warnings as errors.
. "$(dirname "$0")/../lib.sh"

make test CC=clang
