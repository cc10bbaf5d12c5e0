#!/bin/sh
# SPDX-License-Identifier: MIT
# Our TURN client (turn_probe.c) against coturn, and coturn's client against our TURN service
# (turn_serve.c), on loopback: one row per case. BUILD_DIR is a build tree with libbodkin-core. Ends
# with 77 and one line where coturn cannot be had.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
BUILD_DIR=${BUILD_DIR:-$top/build/release}
command -v turnserver >/dev/null || { echo "SKIPPED turn: no turnserver"; exit 77; }
tmp=$(mktemp -d)
server=
peer=
failed=0
stop() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; }
    server=
}
finish() {
    stop
    [ -z "$peer" ] || kill "$peer" 2>/dev/null
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

${CC:-cc} -std=gnu17 -O1 -I"$top/include" ${PROBE_CFLAGS:-} -o "$tmp/probe" "$here/turn_probe.c" \
    "$BUILD_DIR/libbodkin-core.a" -lnettle -lhogweed || exit 1

port=$((21000 + $$ % 20000))
listens() {
    grep -qi ":$(printf %04X $port) 00000000:0000 0A" /proc/net/tcp
}

# coturn OPTION...: starts it on 127.0.0.1 and, if there is one, ::1.
coturn() {
    stop
    v6=
    grep -qs . /proc/net/if_inet6 && v6="-L ::1 -E ::1"
    turnserver -n -L 127.0.0.1 -E 127.0.0.1 $v6 -p $port --min-port=40000 --max-port=40999 \
        --no-tls --no-dtls --no-cli --lt-cred-mech -u george:secret -r example.org \
        --allow-loopback-peers --denied-peer-ip=127.0.0.9 --pidfile="$tmp/pid" --db="$tmp/db" \
        --log-file=stdout "$@" >"$tmp/coturn" 2>&1 &
    server=$!
    n=0
    while [ $n -lt 100 ] && ! listens; do
        n=$((n + 1))
        sleep 0.1
    done
    listens || { tail -n 5 "$tmp/coturn"; echo "coturn does not start"; exit 1; }
}

# row NAME PROBE-OPTION...
row() {
    name=$1
    shift
    if timeout 100 "$tmp/probe" "$@" 127.0.0.1 $port >"$tmp/row" 2>&1; then
        printf '%-52s %s\n' "$name" "ok: $(grep -c . "$tmp/row") events, $(head -n 1 "$tmp/row")"
    else
        printf '%-52s %s\n' "$name" "FAILED: $(tail -n 1 "$tmp/row")"
        failed=1
    fi
}

coturn
row "TURN client, UDP: both ways" -n 100
row "TURN client, UDP: a forbidden peer" -x 127.0.0.9
row "TURN client, TCP: both ways" -t -n 100
row "TURN client, UDP: half of all requests lost" -d 50
if grep -qs . /proc/net/if_inet6; then
    row "TURN client, UDP: an IPv6 relay" -6
    row "TURN client, TCP: an IPv6 relay" -t -6
fi

# Other sockets (RFC 8016).
coturn --mobility
row "TURN client, UDP: moves to other sockets" -m
row "TURN client, UDP: the same, a third lost" -m -d 33

# Short lives: nonces of 2 s, allocations of 6 s, permissions and channels as coturn has them.
coturn --stale-nonce=2 --max-allocate-lifetime=6
row "TURN client, UDP: nonces and lifetimes of seconds" -l 6 -s 20
row "TURN client, TCP: nonces and lifetimes of seconds" -l 6 -t -s 10
row "TURN client, UDP: the same, a third lost" -l 6 -d 33 -s 40

# The server is replaced under a living relay.
timeout 100 "$tmp/probe" -r -l 6 -s 12 127.0.0.1 $port >"$tmp/row" 2>&1 &
probe=$!
sleep 4
coturn --stale-nonce=2 --max-allocate-lifetime=6
if wait $probe; then
    printf '%-52s %s\n' "TURN client, UDP: the server restarts" "ok: $(grep '^lost' "$tmp/row")"
else
    printf '%-52s %s\n' "TURN client, UDP: the server restarts" "FAILED: $(tail -n 1 "$tmp/row")"
    failed=1
fi
stop

# coturn's client against our service. Its own retries are slow, hence few messages.
${CC:-cc} -std=gnu17 -O1 -I"$top/include" -I"$top/src" ${PROBE_CFLAGS:-} -o "$tmp/serve" \
    "$here/turn_serve.c" "$top"/src/turn/*.c "$top"/src/stun/*.c "$top"/src/wire/*.c \
    "$top"/src/crypto/*.c "$top"/src/base/*.c -lnettle -lhogweed || exit 1
port=$((port + 3))
"$tmp/serve" $port >"$tmp/out" 2>&1 &
server=$!
turnutils_peer -L 127.0.0.1 -L ::1 -p $((port + 1)) >/dev/null 2>&1 &
peer=$!
sleep 1

# client NAME OPTION...: passes when all 80 messages came back.
client() {
    name=$1
    shift
    timeout 60 turnutils_uclient -u george -w secret -p $port -r $((port + 1)) -n 20 -z 10 -m 4 \
        "$@" >"$tmp/row" 2>&1
    if grep -q 'tot_send_msgs=80, tot_recv_msgs=80$' "$tmp/row"; then
        printf '%-52s %s\n' "$name" "ok: 80 of 80"
    else
        printf '%-52s %s\n' "$name" "FAILED: $(tail -n 1 "$tmp/row")"
        failed=1
    fi
}
client "TURN service, uclient: channels" -e 127.0.0.1 127.0.0.1
client "TURN service, uclient: Send indications" -s -e 127.0.0.1 127.0.0.1
client "TURN service, uclient: client to client" -y 127.0.0.1
client "TURN service, uclient: padded channels" -y -D 127.0.0.1
client "TURN service, uclient: extra requests" -y -G 127.0.0.1
client "TURN service, uclient: negative tests" -y -N 127.0.0.1
client "TURN service, uclient: random disconnects" -y -B 127.0.0.1
if grep -qs . /proc/net/if_inet6; then
    client "TURN service, uclient: IPv6 relays" -x -e ::1 127.0.0.1
    client "TURN service, uclient: over IPv6" -x -y ::1
    client "TURN service, uclient: both families" -Z -e 127.0.0.1 127.0.0.1
fi
kill -0 "$server" 2>/dev/null || { tail -n 5 "$tmp/out"; failed=1; }
exit $failed
