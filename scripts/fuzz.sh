#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs fuzz harnesses for S seconds each (60): scripts/fuzz.sh [NAME...], all of them without names,
# JOBS at a time (one per core). What a harness learns stays in build/fuzz/corpus/NAME; seeds come
# from fuzz/corpus/NAME. A finding is left in build/fuzz/findings/ with the line that replays it.
# SEED=N makes a run that takes the same way every time, as far as it gets: for a gate that is to
# judge a change, not to draw lots. Without it every run looks elsewhere.
. "$(dirname "$0")/lib.sh"

seconds=${S:-60}
same=
if [ -n "${SEED:-}" ]; then
    same="-seed=$SEED -reload=0"
    # What a harness hashes may depend on addresses; some containers forbid fixing these.
    ! setarch -R true 2>/dev/null || fixed="setarch -R"
fi
dir=build/fuzz

# Status 0 and one line when nothing was found.
one() {
    name=$1
    corpus=$dir/corpus/$name
    log=$dir/log/$name.log
    mkdir -p "$corpus" "$dir/log" "$dir/findings"
    seeds=
    [ ! -d "fuzz/corpus/$name" ] || seeds=fuzz/corpus/$name
    if ${fixed:-} "$dir/fuzz/fuzz-$name" $same -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -max_len=4096 -print_final_stats=1 -artifact_prefix="$dir/findings/$name-" \
        "$corpus" $seeds </dev/null >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "ok      fuzz $name: ${runs:-?} runs in $seconds s, $(ls "$corpus" | wc -l) inputs kept"
    else
        grep -E 'ERROR|SUMMARY|runtime error|assert' "$log" | head -n 8
        unit=$(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)
        echo "FAILED  fuzz $name: $log; replay: $dir/fuzz/fuzz-$name $unit"
        return 1
    fi
}

if [ "${1:-}" = --one ]; then
    one "$2"
    exit
fi

[ $# -gt 0 ] || set -- $(cd fuzz && ls *.c 2>/dev/null | sed 's/\.c$//')
[ $# -gt 0 ] || { echo "no harness in fuzz/"; tally 0 1; exit 1; }
for name in "$@"; do
    [ -f "fuzz/$name.c" ] || {
        echo "no harness fuzz/$name.c; there are:" $(cd fuzz && ls *.c | sed 's/\.c$//') >&2
        exit 2
    }
done

scripts/deps.sh build fuzz
export CC=clang S="$seconds"
configure fuzz "$dir" || { tally 0 1; exit 1; }
build "$dir" --target $(printf 'fuzz-%s ' "$@") || { tally 0 1; exit 1; }

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
printf '%s\n' "$@" | xargs -P "${JOBS:-$cores}" -n 1 scripts/fuzz.sh --one | tee "$lines" || true
good=$(grep -c '^ok ' "$lines" || true)
tally "$good" $(($# - good))
