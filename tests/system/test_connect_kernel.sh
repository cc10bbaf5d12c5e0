#!/bin/bash
# SPDX-License-Identifier: MIT
# Two peers behind real Linux NATs (nftables), in network namespaces of this test's own:
#
#     alice ─ router-a ─┐
#                       ├─ core (bridge): the home server
#     bob ─── router-b ─┘
#
# A row is: what router a and router b do with ports, what they do with unsolicited packets, and
# what `bodkin ping` must say in the end.
set -u
for tool in ip nft sysctl; do
    command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done
dir=$(mktemp -d)
prefix=bk$$
pids=
failed=0

clean_up() {
    for pid in $pids; do kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; done
    for name in core ra rb a b; do ip netns del $prefix$name 2>/dev/null; done
    pids=
}
trap 'clean_up; rm -rf "$dir"' EXIT

# `ip netns exec` wants namespaces and a root that is a mount: not every container and chroot has both.
if ! ip netns add ${prefix}a 2>"$dir/why" || ! ip netns exec ${prefix}a true 2>"$dir/why"; then
    echo "skipped: no network namespaces: $(head -n 1 "$dir/why")"
    ip netns del ${prefix}a 2>/dev/null
    rm -rf "$dir"
    exit 77
fi
ip netns del ${prefix}a

in_host() { ip netns exec "$prefix$1" "${@:2}"; }
# In the background: $! is then the program itself, not a shell around it.
exec_in() { exec ip netns exec "$prefix$1" "${@:2}"; }

# router NAME NUMBER NAT POLICY
router() {
    ip link add "$prefix$1" netns ${prefix}core type veth peer name wan netns "$prefix$1"
    ip -n ${prefix}core link set "$prefix$1" master core0 up
    ip -n "$prefix$1" addr add "198.51.100.$2/24" dev wan
    ip -n "$prefix$1" link set wan up
    in_host "$1" sysctl -qw net.ipv4.ip_forward=1
    in_host "$1" nft -f - <<RULES
table ip box {
    chain out {
        type nat hook postrouting priority 100;
        oifname "wan" $3;
    }
    chain in {
        type filter hook input priority 0; policy accept;
        iifname "wan" ct state new $4;
    }
    chain through {
        type filter hook forward priority 0; policy accept;
        iifname "wan" ct state new drop;
    }
}
RULES
}

# host NAME ROUTER: both homes use the same private addresses, as homes do.
host() {
    ip link add eth0 netns "$prefix$1" type veth peer name lan netns "$prefix$2"
    ip -n "$prefix$2" addr add 192.168.1.1/24 dev lan
    ip -n "$prefix$2" link set lan up
    ip -n "$prefix$1" addr add 192.168.1.10/24 dev eth0
    ip -n "$prefix$1" link set eth0 up
    ip -n "$prefix$1" route add default via 192.168.1.1
}

wait_for() { # FILE TEXT
    for _ in $(seq 100); do
        grep -q "$2" "$1" 2>/dev/null && return 0
        sleep 0.1
    done
    echo "nobody said \"$2\""
    return 1
}

start() {
    for name in core ra rb a b; do
        ip netns add $prefix$name
        ip -n $prefix$name link set lo up
    done
    ip -n ${prefix}core link add core0 type bridge
    ip -n ${prefix}core link set core0 up
    ip -n ${prefix}core addr add 198.51.100.1/24 dev core0
    router ra 2 "$1" "$3"
    router rb 3 "$2" "$3"
    host a ra
    host b rb
    HOME=$dir exec_in core "$BODKIN" serve --name 198.51.100.1 --state "$dir/state" \
        >"$dir/home" 2>"$dir/serve.log" &
    pids="$pids $!"
    wait_for "$dir/home" "home: " || return 1
    HOME=$dir/b exec_in b "$BODKIN" listen --home "$(sed 's/^home: //' "$dir/home")" \
        </dev/null >/dev/null 2>"$dir/listen" &
    pids="$pids $!"
    wait_for "$dir/listen" "ticket: "
}

# check NAME NAT-A NAT-B POLICY EXPECTED
check() {
    rm -f "$dir/home" "$dir/listen"
    if start "$2" "$3" "$4"; then
        HOME=$dir/a in_host a timeout 60 "$BODKIN" ping -c 100 -i 200 \
            "$(sed -n 's/^ticket: //p' "$dir/listen")" >"$dir/ping" 2>&1
        if grep -qE "$5" "$dir/ping"; then
            echo "$1: ok"
        else
            echo "$1: FAILED, wanted \"$5\""
            cat "$dir/ping"
            failed=1
        fi
    else
        failed=1
    fi
    clean_up
}

check "port-restricted, both" masquerade masquerade drop "direct after"
check "port-restricted that rejects, both" masquerade masquerade reject "direct after"
check "symmetric here" "masquerade fully-random" masquerade drop "direct by birthday paradox"
check "a block of ports there" masquerade \
    "meta l4proto udp masquerade to :20000-20063 fully-random; oifname \"wan\" masquerade" drop \
    "direct after"
check "symmetric, both" "masquerade fully-random" "masquerade fully-random" drop \
    "relayed: both NATs give each destination a random port"
check "UDP blocked there" masquerade "meta l4proto udp drop; oifname \"wan\" masquerade" drop \
    "because: UDP is blocked on the peer's side"
exit $failed
