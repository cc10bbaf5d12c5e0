#!/bin/sh
# SPDX-License-Identifier: MIT
# Looks for what only time shows: for S seconds, in turn, the simulated scenarios with a new seed each
# round (BODKIN_SEED, 100 of them from there on) and the system tests with more load (BODKIN_SOAK=1),
# under ASan and UBSan; then every fuzz harness for FUZZ seconds (60; 0: none) where CI does not look.
# Stops at the first failure and says what replays it.
. "$(dirname "$0")/lib.sh"

seconds=${S:-60}
scripts/deps.sh build test
dir=build/dev${CC:+-$(basename "${CC%% *}")}
configure dev "$dir" || { tally 0 1; exit 1; }
build "$dir" || { tally 0 1; exit 1; }
begin=$(date +%s)
round=0
export BODKIN_SOAK=1 BODKIN_SEEDS=100
while [ $(($(date +%s) - begin)) -lt "$seconds" ]; do
    BODKIN_SEED=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
    export BODKIN_SEED
    round=$((round + 1))
    log=build/soak-$round.log
    if ! ctest --test-dir "$dir" -j "$cores" -R '^(scenario|system)/' --output-on-failure \
        >"$log" 2>&1; then
        tail -n 60 "$log"
        echo "replay: BODKIN_SOAK=1 BODKIN_SEEDS=100 BODKIN_SEED=$BODKIN_SEED ctest --test-dir $dir" \
            "-R '^(scenario|system)/' --output-on-failure"
        tally $((round - 1)) 1
        exit 1
    fi
    rm -f "$log"
done
[ "${FUZZ:-60}" -eq 0 ] || S=${FUZZ:-60} JOBS=$cores scripts/fuzz.sh
tally "$round" 0
