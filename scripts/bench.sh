#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the optimised program and runs the benchmarks: scripts/bench.sh [NAME...]. bench/NAME.c,
# bench/NAME.sh and bench/NAME.py print one table each; scripts get the program's path in BODKIN.
. "$(dirname "$0")/lib.sh"

[ $# -gt 0 ] || set -- $(cd bench && ls *.c *.sh *.py 2>/dev/null | sed 's/\.[a-z]*$//' | sort -u)
scripts/deps.sh build bench
scripts/build.sh >/dev/null
export BODKIN="$top/build/release/bodkin"
failed=0
for name in "$@"; do
    echo "== $name"
    if [ -f "bench/$name.sh" ]; then
        sh "bench/$name.sh" || [ $? -eq 77 ] || failed=1 # 77: it said what this machine lacks
    elif [ -f "bench/$name.py" ]; then
        python3 "bench/$name.py" || [ $? -eq 77 ] || failed=1
    else
        "build/release/bench/bench-$name"
    fi
    echo
done
[ "$failed" -eq 0 ]
