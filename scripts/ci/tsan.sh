#!/bin/sh
# SPDX-License-Identifier: MIT
# What runs threads, under ThreadSanitizer: the tests of net, run, server and node, and the programs
# that have some. Tests of one thread run under the other sanitizers.
. "$(dirname "$0")/../lib.sh"

TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
export TSAN_OPTIONS
CC=${CC:-gcc} scripts/test.sh tsan -R '^(unit/(net|run|server|node)/|system/(serve|turn|ice|map|connect_kernel|failover))'
