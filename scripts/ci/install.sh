#!/bin/sh
# SPDX-License-Identifier: MIT
# The install test in all its kinds: static, shared, taken in with add_subdirectory.
. "$(dirname "$0")/../lib.sh"

scripts/deps.sh build
for kind in static shared subdirectory; do
    check "install test, $kind" tests/install/run.sh "$kind"
done
tally "$passed" "$failed"
