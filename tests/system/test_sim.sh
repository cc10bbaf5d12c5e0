#!/bin/sh
# SPDX-License-Identifier: MIT
# bodkin sim: the same seed prints the same bytes, whatever the number of workers; what goes wrong is
# told by exit status, line and word.
set -u
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
scenes=$SOURCE_DIR/sim/scenarios
failed=0

# expect STATUS TEXT COMMAND...: the exit status, and a text in the output.
expect() {
    want=$1
    text=$2
    shift 2
    "$@" >"$dir/out" 2>&1
    got=$?
    if [ "$got" -ne "$want" ] || ! grep -qF -e "$text" "$dir/out"; then
        echo "$*: status $got, not $want, or no \"$text\" in:"
        head -n 5 "$dir/out"
        failed=1
    fi
}

twice() {
    "$BODKIN" sim "$@" >"$dir/first" 2>/dev/null
    "$BODKIN" sim "$@" >"$dir/second" 2>/dev/null
    cmp "$dir/first" "$dir/second" && [ -s "$dir/first" ] || { echo "not the same: $*"; failed=1; }
}

twice run --trace --seed 5 "$scenes/small-mtu.scene"
twice run --json --seeds 2 "$scenes/address-change.scene"
twice matrix --plain-ice --types home,symmetric,cgn --seeds 2
"$BODKIN" sim matrix --plain-ice --types home,symmetric,cgn --seeds 2 --workers 3 >"$dir/second" 2>/dev/null
cmp "$dir/first" "$dir/second" || { echo "three workers print something else"; failed=1; }
"$BODKIN" sim run --seed 6 --trace "$scenes/small-mtu.scene" >"$dir/second"
"$BODKIN" sim run --seed 5 --trace "$scenes/small-mtu.scene" >"$dir/first"
! cmp -s "$dir/first" "$dir/second" || { echo "seeds 5 and 6 are alike"; failed=1; }

expect 0 'as expected' "$BODKIN" sim run "$scenes/nat-reboot.scene"
expect 1 'expect direct within 2s' "$BODKIN" sim run --set alice-router:preset=udp-blocked \
    "$scenes/nat-reboot.scene"
printf "[host a]\naddress = 198.51.100.1\n[run]\na: true\n" >"$dir/lab"
expect 2 "a simulation runs no commands" "$BODKIN" sim run "$dir/lab"
printf '[host a]\naddress = 198.51.100.1\n[run]\nexplode a\n' >"$dir/bad"
expect 2 "$dir/bad:4: there is no host \"explode\" above" "$BODKIN" sim run "$dir/bad"
expect 2 'cannot read' "$BODKIN" sim run "$dir/nothing"
expect 2 'needs a file' "$BODKIN" sim run
expect 2 'not a number' "$BODKIN" sim run --seed x "$scenes/nat-reboot.scene"
expect 2 'there is no such preset' "$BODKIN" sim matrix --types cone
expect 2 'numbers with commas' "$BODKIN" sim matrix --loss 101
expect 2 'there is no "fly"' "$BODKIN" sim fly
expect 0 'bodkin sim run' "$BODKIN" sim --help
expect 0 'bodkin sim matrix' "$BODKIN" sim matrix --help
lines=$("$BODKIN" sim --help | wc -l)
[ "$lines" -le 24 ] || { echo "the help has $lines lines"; failed=1; }
exit $failed
