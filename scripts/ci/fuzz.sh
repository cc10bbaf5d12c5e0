#!/bin/sh
# SPDX-License-Identifier: MIT
# Every fuzz harness for a minute, as many at a time as there are cores.
. "$(dirname "$0")/../lib.sh"

JOBS=${JOBS:-$((cores + (cores + 1) / 2))} # each runs a minute by the clock
export JOBS

make fuzz-all S="${S:-60}"
