#!/bin/sh
# SPDX-License-Identifier: MIT
# coturn's STUN tools, and stunclient if it is installed, against our server, on loopback and behind
# real Linux NATs: one row per tool; then our TURN client against coturn (turn.sh). BODKIN is the
# program. Ends with 77 and one line where coturn's tools cannot be had.
set -u
top=$(cd "$(dirname "$0")/../../.." && pwd)
BODKIN=${BODKIN:-$top/build/release/bodkin}
command -v turnutils_stunclient >/dev/null || { echo "SKIPPED coturn: no turnutils_stunclient"; exit 77; }
tmp=$(mktemp -d)
server=
failed=0
finish() {
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT TERM

# The first of a few ports that nobody has; a server that cannot bind ends at once.
port=$((20000 + $$ % 20000))
tries=0
while :; do
    "$BODKIN" serve --listen 127.0.0.1 --stun $port --https $((port + 2)) --state "$tmp" \
        --name localhost >"$tmp/out" 2>&1 &
    server=$!
    n=0
    while [ $n -lt 50 ] && kill -0 "$server" 2>/dev/null && ! grep -qs '^home: ' "$tmp/out"; do
        n=$((n + 1))
        sleep 0.1
    done
    if grep -q '^home: ' "$tmp/out"; then break; fi
    kill "$server" 2>/dev/null
    server=
    tries=$((tries + 1))
    port=$((port + 7))
    [ $tries -lt 5 ] || { cat "$tmp/out"; exit 1; }
done

# row NAME COMMAND...: passes when the tool says the address it was seen with.
row() {
    name=$1
    shift
    timeout 30 "$@" >"$tmp/row" 2>&1
    said=$(sed -n 's/.*UDP reflexive addr: //p' "$tmp/row" | head -n 1)
    case $said in
    127.0.0.1:*) printf '%-52s %s\n' "$name" "saw $said" ;;
    *)
        printf '%-52s %s\n' "$name" "FAILED: $(tail -n 1 "$tmp/row")"
        failed=1
        ;;
    esac
}

row "STUN: turnutils_stunclient" turnutils_stunclient -p $port 127.0.0.1
row "STUN: turnutils_natdiscovery, mapping" turnutils_natdiscovery -m -p $port 127.0.0.1
row "STUN: turnutils_natdiscovery, filtering" turnutils_natdiscovery -f -p $port 127.0.0.1

# Two addresses, in namespaces: all of RFC 5780, and what each NAT is must be what the tool says.
python3 "$top/tests/system/test_serve_natdiscovery.py" --rows prc sym arc fullcone cgn admr
case $? in
0) ;;
77) echo "STUN: NAT discovery in namespaces: not possible here" ;;
*) failed=1 ;;
esac

# The other way round: our TURN client against coturn.
"$top/tests/interop/coturn/turn.sh"
case $? in
0 | 77) ;;
*) failed=1 ;;
esac
exit $failed
