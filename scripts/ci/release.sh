#!/bin/sh
# SPDX-License-Identifier: MIT
# What is shipped, optimised, warnings as errors, with both compilers: -O2 sees what -O1 does not.
# And all of them simulate alike.
. "$(dirname "$0")/../lib.sh"

optimised() {
    CC=$1 configure release "build/release-$1" -DBODKIN_WERROR=ON -DBODKIN_TESTS=OFF &&
        build "build/release-$1" >"build/release-$1/build.log" 2>&1 ||
        { grep -A 8 -e 'error:' -e 'Error' "build/release-$1/build.log"; return 1; }
}

scripts/deps.sh build gcc clang
for cc in gcc clang; do
    check "optimised build, $cc" optimised $cc
done
set -- build/release-gcc/bodkin build/release-clang/bodkin
[ ! -x build/dev-gcc/bodkin ] || set -- "$@" build/dev-gcc/bodkin
check "simulations print the same bytes from every build" scripts/sim-bytes.sh "$@"
tally "$passed" "$failed"
