#!/bin/sh
# SPDX-License-Identifier: MIT
# A transfer whose direct path is cut silently, comes back, and is cut again: two homes, 20 ms links.
# Prints what the receiver saw. MB=1000 at RATE=40 MB/s; LIMIT=500 ms is the longest pause allowed
# after a cut. Wants BODKIN, the program. Status 1: the hashes differ, a pause was longer, or the path
# did not change as it should. Status 77: no labs or no python3 here.
set -u
: "${BODKIN:?is the path of the program}"
here=$(cd "$(dirname "$0")" && pwd)
command -v python3 >/dev/null || { echo "skipped: python3 measures, and is not here"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
MB=${MB:-1000} RATE=${RATE:-40} LIMIT=${LIMIT:-500} pump="python3 $here/tools/pump.py"
export XDG_RUNTIME_DIR="$work" BODKIN MB RATE pump

home() { # home NAME PUBLIC
    cat <<EOF2
[nat $1-router]
preset = home
public = $2
inside = 192.168.1.1/24
delay = 20ms
[host $1]
behind = $1-router
address = 192.168.1.10
EOF2
}
fail_over='cut alice-router bob-router udp
server: echo cut at $(cut -d" " -f1 /proc/uptime)
wait alice: "kind":"relayed"
sleep 1s
restore
server: echo restored at $(cut -d" " -f1 /proc/uptime)
wait alice: "kind":"direct"
server: echo direct at $(cut -d" " -f1 /proc/uptime)'

{
    printf '[lab]\ntimeout = 60s\n'
    home alice 203.0.113.1
    home bob 203.0.113.2
    cat <<EOF2
[host server]
address = 198.51.100.10
[run]
start server: exec "\$BODKIN" serve --state "\$BODKIN_LAB_DIR" --log-level warn
wait server: home: {home}
start bob: "\$BODKIN" listen --home "\$home" | \$pump receive
wait bob: ticket: {ticket}
start alice: \$pump send \$MB \$RATE | "\$BODKIN" connect --json "\$ticket"
wait alice: "kind":"direct"
sleep 2s
$fail_over
sleep 2s
$fail_over
join alice
join bob
EOF2
} >"$work/failover.lab"
"$BODKIN" lab run "$work/failover.lab" >"$work/out" 2>&1
status=$?
if [ $status -ne 0 ]; then
    tail -n 20 "$work/out"
    exit $status
fi

awk -v limit="$LIMIT" -v mb="$MB" '
    function after(word) { for (i = 1; i < NF; i++) if ($i == word) return $(i + 1); return "" }
    function field(name) { match($0, "\"" name "\":[^,}]*"); s = substr($0, RSTART, RLENGTH)
                           sub(/^[^:]*:/, "", s); gsub(/"/, "", s); return s }
    /^server .*\| cut at/ { cut[++cuts] = after("at") }
    /^server .*\| restored at/ { restored[cuts] = after("at") }
    /^server .*\| direct at/ { direct[cuts] = after("at") }
    /^bob .*\| gap / { start[++gaps] = after("gap"); len[gaps] = $NF }
    /^alice .*\| sent / { sent = after("sent") " " $NF }
    /^bob .*\| received / { received = after("received") " " $NF }
    /^alice .*"event":"path"/ { kind = field("kind"); if (kind != last) path = path " " kind; last = kind }
    /^alice .*"event":"done"/ { seconds = field("seconds"); doubts = field("doubts")
                                relay = field("relay_bytes") }
    END {
        for (c = 1; c <= cuts; c++) {
            worst = 0
            for (g = 1; g <= gaps; g++)
                if (start[g] > cut[c] - 0.5 && start[g] < restored[c] && len[g] > worst) worst = len[g]
            printf "cut %d: longest pause at the receiver %s, direct again %.1f s after the path was back\n",
                c, worst ? sprintf("%.0f ms", worst * 1000) : "below 50 ms", direct[c] - restored[c]
            if (worst * 1000 > limit) bad = bad " pause"
        }
        printf "%d MB in %.1f s, %.0f MB of them over the relay, %d doubts; path:%s\n",
            mb, seconds, relay / 1e6, doubts, path
        if (sent == "" || sent != received) bad = bad " hash"
        sub(/^ relayed/, "", path)
        if (path != " direct relayed direct relayed direct") bad = bad " path"
        if (cuts != 2) bad = bad " cuts"
        print bad == "" ? "the hashes are equal" : "FAILED:" bad
        exit bad != ""
    }' "$work/out"
