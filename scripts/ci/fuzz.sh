#!/bin/sh
# SPDX-License-Identifier: MIT
# Every fuzz harness for a minute, as many at a time as there are cores.
. "$(dirname "$0")/../lib.sh"

make fuzz-all S="${S:-60}"
