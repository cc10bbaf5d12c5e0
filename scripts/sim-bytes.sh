#!/bin/sh
# SPDX-License-Identifier: MIT
# Simulations print the same bytes whatever compiler and optimisation built them:
# scripts/sim-bytes.sh BODKIN BODKIN... compares the programs' output with the first one's.
. "$(dirname "$0")/lib.sh"

# Real ICE agents; real sessions with QUIC, faults, loss and reordering, every packet of them.
simulate() {
    "$1" sim matrix --seeds 3 --json --types EI-PP-APD,AD-PC-AD,APD-RD-EI,cgn 2>/dev/null
    for scene in address-change link-flap many-at-home small-mtu; do
        "$1" sim run --seeds 2 --trace "sim/scenarios/$scene.scene"
    done
}

[ $# -ge 2 ] || { echo "usage: scripts/sim-bytes.sh BODKIN BODKIN..." >&2; exit 2; }
want=$(simulate "$1" | sha256sum)
status=0
for program in "$@"; do
    have=$(simulate "$program" | sha256sum)
    echo "$have $program"
    [ "$have" = "$want" ] || status=1
done
exit $status
