#!/bin/sh
# SPDX-License-Identifier: MIT
# Two peers and their home server, real programs in the lab, in the places where people have them:
# which path they find, or why they find none. Wants BODKIN, the program. Exit 77: no labs here.
set -u
: "${BODKIN:?is the path of the program}"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work" work BODKIN # our labs only, whatever else runs here
failed=0 passed=0

check() { # check NAME COMMAND...: the command must succeed
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok    $what"
    else
        failed=$((failed + 1))
        echo "FAIL  $what"
        sed 's/^/      | /' "$work/out"
    fi
}

# alice sends a line and ends her input when the awaited event has come.
talk='start alice: (echo a line; until [ -e "$BODKIN_LAB_DIR/end" ]; do sleep 0.05; done) | exec "$BODKIN" connect --json "$ticket"'
finish='alice: touch "$BODKIN_LAB_DIR/end"
join alice
join bob
bob: grep -qx "a line" "$work/got" && echo arrived'

# The steps up to the ticket; bob is the host of the peer that listens.
meet() {
    cat <<EOF2
[run]
start server: exec "\$BODKIN" serve --state "\$BODKIN_LAB_DIR" --log-level warn
wait server: home: {home}
start ${1:-bob} as bob: XDG_CONFIG_HOME="\$BODKIN_LAB_DIR/bob" exec "\$BODKIN" listen --home "\$home" >"\$work/got"
wait bob: ticket: {ticket}
EOF2
}

nat() { # nat NAME PUBLIC INSIDE SETTINGS...
    printf '[nat %s]\npreset = home\npublic = %s\ninside = %s\ndelay = 5ms\n' "$1" "$2" "$3"
    shift 3
    printf '%s\n' "$@"
}
host() { # host NAME ADDRESS [NAT]
    printf '[host %s]\naddress = %s\n' "$1" "$2"
    [ $# -lt 3 ] || printf 'behind = %s\n' "$3"
}

run() { # run NAME: the lab file from standard input; output to $work/out
    { printf '[lab]\ntimeout = 10s\n'; cat; } >"$work/$1.lab"
    "$BODKIN" lab run "$work/$1.lab" >"$work/out" 2>&1
    echo $? >"$work/status" # a file, because run() ends a pipeline and so has its own variables
}
succeeds() { [ "$(cat "$work/status")" -eq 0 ]; }
ends_well() { succeeds && grep -q 'bob .*arrived' "$work/out"; }
says() { grep -q "$1" "$work/out"; }
never() { ! grep -q "$1" "$work/out"; }

direct() { # direct NAME EXTENDED-REGEX-OF-REMOTE: what run() saw is a direct path to this address
    check "$1: connects, and the line arrives" ends_well
    check "$1: directly, to $2" says "alice .*\"kind\":\"direct\".*\"remote\":\"$2"
}
relayed() { # relayed NAME REASON
    check "$1: connects, and the line arrives" ends_well
    check "$1: stays relayed: $2" says "alice .*\"kind\":\"relayed\".*\"reason\":\"$2\""
    check "$1: is never called direct" never '"kind":"direct"'
}
wait_direct='wait alice: "kind":"direct"'
server='198.51.100.10'

printf '[lab]\ntimeout = 5s\n[host alice]\naddress = 198.51.100.1\n[run]\nalice: true\n' >"$work/first.lab"
"$BODKIN" lab run "$work/first.lab" >"$work/out" 2>&1
if [ $? -eq 77 ]; then
    echo "skipped: $(tail -1 "$work/out")"
    exit 77
fi

for hairpin in external off; do
    { nat router 203.0.113.1 192.168.1.1/24 "hairpin = $hairpin"
      host alice 192.168.1.10 router; host bob 192.168.1.11 router; host server $server
      meet; echo "$talk"; echo "$wait_direct"; echo "$finish"; } | run "same-nat-$hairpin"
    direct "behind one NAT, hairpin $hairpin" '192\.168\.1\.11:'
done

{ nat alice-router 203.0.113.1 192.168.1.1/24; nat bob-router 203.0.113.2 192.168.1.1/24
  host alice 192.168.1.10 alice-router; host bob 192.168.1.10 bob-router; host server $server
  meet; echo "$talk"; echo "$wait_direct"; echo "$finish"; } | run homes
direct "two homes with one address plan" '203\.0\.113\.2:'

{ nat alice-router 203.0.113.1 2001:db8:a::1/64; nat bob-router 203.0.113.2 2001:db8:b::1/64
  host alice 2001:db8:a::10 alice-router; host bob 2001:db8:b::10 bob-router
  host server 2001:db8:5::10
  meet; echo "$talk"; echo "$wait_direct"; echo "$finish"; } | run ipv6
direct "IPv6 only, stateful firewalls" '\[2001:db8:b::10\]:'

{ nat alice-router 203.0.113.1 "192.168.1.1/24, 2001:db8:a::1/64" "mapping = APDM"
  nat bob-router 203.0.113.2 "192.168.1.1/24, 2001:db8:b::1/64" "mapping = APDM"
  host alice "192.168.1.10, 2001:db8:a::10" alice-router
  host bob "192.168.1.10, 2001:db8:b::10" bob-router; host server "$server, 2001:db8:5::10"
  meet; echo "$talk"; echo "$wait_direct"; echo "$finish"; } | run dual
direct "dual stack where IPv4 alone would fail" '\[2001:db8:b::10\]:'

{ nat router 203.0.113.1 192.168.1.1/24; host alice 192.168.1.10 router; host server $server
  meet alice
  echo "$talk"; echo "$wait_direct"
  echo "$finish" | sed 's/^bob: /alice: /; s/echo arrived/echo bob arrived/'; } | run one-host
direct "both on one host" '192\.168\.1\.10:'

symmetric() { # symmetric NAME ALICE-MAPPING BOB-MAPPING WHAT-TO-WAIT-FOR
    { nat alice-router 203.0.113.1 192.168.1.1/24 "mapping = $2" "ports = random"
      nat bob-router 203.0.113.2 192.168.1.1/24 "mapping = $3" "ports = random"
      host alice 192.168.1.10 alice-router; host bob 192.168.1.10 bob-router; host server $server
      meet; echo "$talk"; echo "wait alice: $4"; echo "$finish"; } | run "$1"
}
symmetric symmetric-here APDM EIM '"kind":"direct"'
direct symmetric-here '203\.0\.113\.2:'
symmetric symmetric-there EIM APDM '"kind":"direct"'
direct symmetric-there '203\.0\.113\.2:'
symmetric symmetric-both APDM APDM '"reason":"symmetric-both"'
relayed symmetric-both symmetric-both
check "symmetric-both: in words" says "both NATs give each destination a random port"

blocked() { # blocked NAME ALICE BOB REASON
    { nat alice-router 203.0.113.1 192.168.1.1/24 "udp = $2"
      nat bob-router 203.0.113.2 192.168.1.1/24 "udp = $3"
      host alice 192.168.1.10 alice-router; host bob 192.168.1.10 bob-router; host server $server
      meet; echo "$talk"; echo "wait alice: \"reason\":\"$4\""; echo "$finish"; } | run "$1"
    relayed "$1" "$4"
}
blocked udp-blocked-here blocked on udp-blocked-here
blocked udp-blocked-there on blocked udp-blocked-there

homes() { # homes ALICE-SETTING: two homes and a peer that waits
    nat alice-router 203.0.113.1 192.168.1.1/24 "$1"
    nat bob-router 203.0.113.2 192.168.1.1/24
    host alice 192.168.1.10 alice-router; host bob 192.168.1.10 bob-router; host server $server
    meet
}
{ homes "udp = on"; echo 'alice: "$BODKIN" ping --json -i 100 "$ticket"'; } | run ping
check "ping ends with 0" succeeds
check "ping: a reply over the direct path" says 'alice .*"event":"pong".*"kind":"direct"'
{ homes "udp = blocked"; echo 'alice: "$BODKIN" ping -c 12 -i 300 "$ticket"'; } | run ping-blocked
check "ping without UDP ends with 0" succeeds
check "ping says that it was relayed" says 'alice .*relayed'
check "ping says why" says 'alice .*UDP is blocked on this side'

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
