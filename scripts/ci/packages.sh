#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs (or names) everything the other stages need, in one go.
. "$(dirname "$0")/../lib.sh"

check "packages" scripts/deps.sh build gcc test peers clang fastpath fuzz lint
tally "$passed" "$failed"
