#!/bin/sh
# SPDX-License-Identifier: MIT
# Every fuzz harness for 15 s by the clock, three at a time on two cores, always the same way; what
# that way does not meet is for scripts/fuzz.sh and make soak.
. "$(dirname "$0")/../lib.sh"

JOBS=${JOBS:-$((cores + (cores + 1) / 2))}
SEED=${SEED:-1}
export JOBS SEED

make fuzz-all S="${S:-15}"
