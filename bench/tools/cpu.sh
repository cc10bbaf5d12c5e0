#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs a command inside a lab's host and says what it cost: cpu.sh NAME COMMAND...
# Prints `cpu NAME own=S router=S server=S`, CPU seconds of the command with its children, of the lab
# (our parent, which carries the packets), and, if $server is a process, of that with its children.
name=$1
shift
ticks=$(getconf CLK_TCK)

# User and system time of the named process, and of its children if the second word is `tree`.
used() {
    cat /proc/[0-9]*/stat 2>/dev/null | awk -v pid="$1" -v tree="${2:-}" -v hz="$ticks" '
        { self = $1; sub(/^.*\) /, "") } # fields behind the name: state, parent, ...
        self == pid || (tree != "" && $2 == pid) { sum += $12 + $13 }
        END { printf "%.2f", sum / hz }'
}

router_before=$(used "$PPID")
server_before=$(used "${server:-0}" tree)
"$@"
status=$?
router_after=$(used "$PPID")
server_after=$(used "${server:-0}" tree)
# The second line of `times` is what ended children used.
times >"$BODKIN_LAB_DIR/times.$name"
awk -v name="$name" -v r="$router_before $router_after" -v s="$server_before $server_after" '
    NR == 2 { for (i = 1; i <= 2; i++) { split($i, t, "[ms]"); own += 60 * t[1] + t[2] } }
    END { split(r, a, " "); split(s, b, " ")
          printf "cpu %s own=%.2f router=%.2f server=%.2f\n", name, own, a[2] - a[1], b[2] - b[1] }' \
    "$BODKIN_LAB_DIR/times.$name" >&2
exit $status
