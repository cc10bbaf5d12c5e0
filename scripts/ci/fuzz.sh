#!/bin/sh
# SPDX-License-Identifier: MIT
# Every fuzz harness for 40 s by the clock, three at a time on two cores.
. "$(dirname "$0")/../lib.sh"

JOBS=${JOBS:-$((cores + (cores + 1) / 2))}
export JOBS

make fuzz-all S="${S:-40}"
