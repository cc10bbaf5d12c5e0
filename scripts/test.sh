#!/bin/sh
# SPDX-License-Identifier: MIT
# Configures, builds and runs the tests: scripts/test.sh [PRESET [ctest argument...]].
# The preset is dev (ASan and UBSan) unless named; CC chooses the compiler, each in its own folder.
# Ends with `N passed, N failed`, counted by CTest.
. "$(dirname "$0")/lib.sh"

preset=${1:-dev}
[ $# -eq 0 ] || shift
dir=build/$preset
[ -z "${CC:-}" ] || dir=$dir-$(basename "${CC%% *}")

groups="build test"
case ${CC:-} in
*clang*) groups="$groups clang" ;;
*gcc*) groups="$groups gcc" ;;
esac
scripts/deps.sh $groups
configure "$preset" "$dir" || { tally 0 1; exit 1; }
build "$dir" || { tally 0 1; exit 1; }

report=$top/$dir/ctest.xml
rm -f "$report"
# Half of the tests wait for virtual links most of the time.
ctest --test-dir "$dir" -j $((cores * 2)) --output-on-failure --output-junit "$report" "$@" || true
[ -f "$report" ] || { echo "ctest left no report" >&2; tally 0 1; exit 1; }

# <testsuite name=... tests="9" failures="1" disabled="0" skipped="0" ...>, one attribute per line.
number() {
    awk -v want="$1=\"" '
        (i = index($0, want)) && !seen { print substr($0, i + length(want)) + 0; seen = 1 }
        /<testcase/ { exit }' "$report"
}
total=$(number tests)
bad=$(number failures)
skip=$(($(number skipped) + $(number disabled)))
tally $((total - bad - skip)) "$bad" "$skip"
