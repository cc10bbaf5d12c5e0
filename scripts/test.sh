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
scripts/deps.sh fastpath || echo "going on without TURN in the kernel" >&2
configure "$preset" "$dir" || { tally 0 1; exit 1; }
build "$dir" || { tally 0 1; exit 1; }

report=$top/$dir/ctest.xml
failed=$dir/Testing/Temporary/LastTestsFailed.log
rm -f "$report" "$failed"
# Half of the tests wait for virtual links most of the time.
ctest --test-dir "$dir" -j $((cores * 2)) --output-on-failure --output-junit "$report" "$@" || true
[ -f "$report" ] || { echo "ctest left no report" >&2; tally 0 1; exit 1; }

# Tests with real programs in real time share a machine with whatever else runs on it. A few that
# fail beside the others are run once more, alone; one that passes then is named, and counts as
# passed. Tests without a clock get no second chance.
again=0
if [ -s "$failed" ] && ! grep -qv ':system/' "$failed" && [ "$(wc -l <"$failed")" -le 3 ]; then
    names=$(sed 's/^[0-9]*://' "$failed")
    echo "once more, alone:" $names
    second=$top/$dir/ctest-again.xml
    rm -f "$second"
    ctest --test-dir "$dir" --rerun-failed --output-on-failure --output-junit "$second" || true
    for name in $names; do
        if grep -q "<testcase name=\"$name\".*status=\"run\"" "$second"; then
            echo "flaky: $name failed beside the others and passed alone"
            again=$((again + 1))
        fi
    done
fi

# <testsuite name=... tests="9" failures="1" disabled="0" skipped="0" ...>, one attribute per line.
number() {
    awk -v want="$1=\"" '
        (i = index($0, want)) && !seen { print substr($0, i + length(want)) + 0; seen = 1 }
        /<testcase/ { exit }' "$report"
}
total=$(number tests)
bad=$(($(number failures) - again))
skip=$(($(number skipped) + $(number disabled)))
tally $((total - bad - skip)) "$bad" "$skip"
