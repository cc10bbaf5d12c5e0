#!/bin/sh
# SPDX-License-Identifier: MIT
# What takes minutes: ICE between all pairs of NAT types, the oracle's methods played packet by
# packet, and the model, the lab and real Linux NATs against each other in their long forms.
. "$(dirname "$0")/lib.sh"

scripts/deps.sh build test
mkdir -p build
scripts/build.sh >build/matrix-build.log 2>&1 || { tail -n 30 build/matrix-build.log; exit 1; }
check "sessions between 378 pairs of NAT types" build/release/bodkin sim matrix --seeds 30 --loss 0,2
check "plain ICE between 27 x 27 NAT types" build/release/bodkin sim matrix --plain-ice
check "the oracle's methods, played" build/release/bodkin sim oracle --prove

dir=build/dev${CC:+-$(basename "${CC%% *}")}
configure dev "$dir" && build "$dir" >build/matrix-build.log 2>&1 ||
    { tail -n 30 build/matrix-build.log; exit 1; }
check "model, lab and kernel, in full" env LONG=1 ctest --test-dir "$dir" --timeout 3000 \
    -R '^system/nat_(equivalence|linux)$' --output-on-failure
check "10 000 sessions of two ICE agents" env BODKIN_SESSIONS=10000 \
    "$dir/tests/test-scenario-agent_sessions"
tally "$passed" "$failed"
