#!/bin/sh
# SPDX-License-Identifier: MIT
# Our relay server with the genuine Go client, and our relay client with the genuine Go server:
# prints one row per case. BODKIN is the program, BUILD_DIR a build tree with its object files.
# Ends with 77 and one line where Go, its modules or a compiler cannot be had.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
BODKIN=${BODKIN:-$top/build/release/bodkin}
BUILD_DIR=${BUILD_DIR:-$top/build/release}
tmp=$(mktemp -d)
pids=
failed=0

finish() {
    for pid in $pids; do
        kill "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

skip() {
    echo "SKIPPED derp: $1"
    exit 77
}

# row NAME COMMAND...: runs it, with its last line as the row's text.
row() {
    name=$1
    shift
    if timeout 150 "$@" >"$tmp/row" 2>&1; then
        printf '%-52s %s\n' "$name" "$(tail -n 1 "$tmp/row")"
    else
        printf '%-52s %s\n' "$name" "FAILED: $(tail -n 1 "$tmp/row")"
        failed=1
    fi
}

# wait_for FILE PATTERN: until a program has said it.
wait_for() {
    n=0
    until grep -q "$2" "$1" 2>/dev/null; do
        n=$((n + 1))
        [ $n -lt 100 ] || return 1
        sleep 0.1
    done
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

command -v go >/dev/null || skip "no Go compiler"
[ -x "$BODKIN" ] || skip "$BODKIN is not built"
(cd "$here" && go build -o "$tmp/goderp" . >"$tmp/go.log" 2>&1) ||
    skip "the Go module cannot be built: $(tail -n 1 "$tmp/go.log")"

modules=
for m in base wire box relay net; do
    modules="$modules $(find "$BUILD_DIR/CMakeFiles/bodkin_m_$m.dir" -name '*.o' 2>/dev/null)"
done
${CC:-cc} -std=c17 -O1 ${PROBE_FLAGS:-} -I"$top/include" -I"$top/src" -I"$top" "$here/probe/probe.c" $modules \
    -lhttp_parser $(pkg-config --libs libsodium gnutls libuv) -lpthread -o "$tmp/probe" \
    2>"$tmp/cc.log" || skip "the probe does not link: $(tail -n 1 "$tmp/cc.log")"

# Our server.
https=$(free_port) stun=$(free_port) plain=$(free_port)
"$BODKIN" serve --listen 127.0.0.1 --https "$https" --stun "$stun" --plain-http "$plain" \
    --state "$tmp/state" >"$tmp/serve.log" 2>&1 &
pids="$pids $!"
n=0
until python3 -c "import socket; socket.create_connection(('127.0.0.1', $plain), 1)" 2>/dev/null; do
    n=$((n + 1))
    [ $n -lt 50 ] || { cat "$tmp/serve.log"; echo "FAILED: bodkin serve does not listen"; exit 1; }
    sleep 0.2
done
row "Go client, bodkin server: plain HTTP" "$tmp/goderp" exchange "http://127.0.0.1:$plain/derp"
row "Go client, bodkin server: TLS 1.3, fast start" "$tmp/goderp" exchange "https://127.0.0.1:$https/derp"
row "Go client, bodkin server: TLS 1.2, upgrade" "$tmp/goderp" -tls12 exchange "https://127.0.0.1:$https/derp"
row "Go client, bodkin server: PeerGone" "$tmp/goderp" gone "https://127.0.0.1:$https/derp"
row "Go client, bodkin server: 64 MB one way, TLS" "$tmp/goderp" flood "https://127.0.0.1:$https/derp"
row "Go client, bodkin server: 64 MB one way, plain" "$tmp/goderp" flood "http://127.0.0.1:$plain/derp"
"$tmp/goderp" echo "https://127.0.0.1:$https/derp" >"$tmp/echo" 2>&1 &
pids="$pids $!"
if wait_for "$tmp/echo" '^echo'; then
    row "bodkin client to Go client, bodkin server" "$tmp/probe" "$plain" "$(awk '{print $2}' "$tmp/echo")"
fi

# The Go server.
"$tmp/goderp" server >"$tmp/server" 2>&1 &
pids="$pids $!"
if wait_for "$tmp/server" '^echo'; then
    echo_key=$(awk '/^echo/ {print $2}' "$tmp/server")
    go_plain=$(awk '/^plain/ {print $2}' "$tmp/server")
    go_tls=$(awk '/^tls/ {print $2}' "$tmp/server")
    pin=$(awk '/^tls/ {print $3}' "$tmp/server")
    row "bodkin client, Go server: plain HTTP" "$tmp/probe" "$go_plain" "$echo_key"
    row "bodkin client, Go server: TLS, upgrade" "$tmp/probe" "$go_tls" "$echo_key" "$pin"
    row "bodkin client, Go server: TLS, fast start" "$tmp/probe" "$go_tls" "$echo_key" "$pin" fast
    row "Go client, Go server: 64 MB one way, plain" "$tmp/goderp" flood "http://127.0.0.1:$go_plain/derp"
else
    echo "FAILED: the Go server did not start: $(tail -n 1 "$tmp/server")"
    failed=1
fi
exit $failed
