#!/bin/sh
# SPDX-License-Identifier: MIT
# Against software that is not ours: scripts/interop.sh [NAME...]. Installs what it needs and runs
# tests/interop/NAME/run.sh, all of them without names. Each prints its rows of the table and ends
# with 0, or 77 and a line that says what could not be had. Scripts find the program in BODKIN, the
# build tree in BUILD_DIR, the sources in SOURCE_DIR.
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- $(cd tests/interop && ls */run.sh 2>/dev/null | sed 's,/run.sh$,,')
[ $# -gt 0 ] || { echo "nothing in tests/interop/"; tally 0 1; exit 1; }
scripts/deps.sh build interop || echo "interop: going on with what is installed" >&2
mkdir -p build
scripts/build.sh >build/interop-build.log 2>&1 || { tail -n 30 build/interop-build.log; exit 1; }
export BODKIN="$top/build/release/bodkin" BUILD_DIR="$top/build/release" SOURCE_DIR="$top"

skipped=0
for name in "$@"; do
    echo "== $name"
    status=0
    "tests/interop/$name/run.sh" || status=$?
    if [ "$status" -eq 77 ]; then
        skipped=$((skipped + 1))
    else
        check "interop $name" test "$status" -eq 0
    fi
done
tally "$passed" "$failed" "$skipped"
