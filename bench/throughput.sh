#!/bin/sh
# SPDX-License-Identifier: MIT
# Throughput of `bodkin connect` between two homes in the lab, directly and over the relay, next to
# iperf3 on the same path, with links of 0 and of 20 ms. CPU seconds per GB of each process: sender,
# receiver, the lab that carries the packets, the home server. ROUNDS=3 of MB=1000 each (a quarter of it over the relay); the median
# round is shown. Wants BODKIN, the program. Status 77: no labs here.
set -eu
: "${BODKIN:?is the path of the program}"
here=$(cd "$(dirname "$0")" && pwd)
rounds=${ROUNDS:-3} mb=${MB:-1000}
work=$(mktemp -d "${TMPDIR:-/dev/shm}/bodkin.XXXXXX" 2>/dev/null || mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work" BODKIN work cpu="$here/tools/cpu.sh"
truncate -s "${mb}000000" "$work/zeros" # a hole in memory costs little to read
truncate -s "$((mb / 4))000000" "$work/few-zeros" # for the slow ways

homes() { # homes DELAY BOB-PRESET
    cat <<EOF2
[lab]
timeout = 40s
[nat alice-router]
preset = home
public = 203.0.113.1
inside = 192.168.1.1/24
delay = $1
[nat bob-router]
preset = $2
public = 203.0.113.2
inside = 192.168.1.1/24
delay = $1
[host alice]
behind = alice-router
address = 192.168.1.10
[host bob]
behind = bob-router
address = 192.168.1.10
[host server]
address = 198.51.100.10
[run]
EOF2
}

transfer() { # transfer NUMBER FILE FLAGS: one bodkin connect
    cat <<EOF2
start bob as bob$1: exec sh "\$cpu" listener "\$BODKIN" listen --home "\$home" >/dev/null
wait bob$1: ticket: {ticket}
alice: exec sh "\$cpu" client "\$BODKIN" connect --json $3 "\$ticket" <"\$work/$2"
join bob$1
EOF2
}

# TCP: bob's box is a full cone here, and bob has sent from iperf3's port before, so alice gets in.
iperf_tcp() {
    cat <<EOF2
start server: exec iperf3 -s -1 --forceflush
wait server: Server listening
bob: iperf3 -c 198.51.100.10 --cport 5201 -t 1 >/dev/null
join server
start bob: exec sh "\$cpu" listener iperf3 -s -1 --forceflush
wait bob: Server listening
alice: exec sh "\$cpu" client iperf3 -c 203.0.113.2 -t 4 -f m
join bob
EOF2
}

# UDP: to the server, through one box.
iperf_udp() {
    cat <<EOF2
start server: exec sh "\$cpu" listener iperf3 -s -1 --forceflush
wait server: Server listening
alice: exec sh "\$cpu" client iperf3 -u -b 3G -l 1400 -c 198.51.100.10 -t 4 -f m
join server
EOF2
}

lab() { # lab NAME: the file from standard input; output to $work/NAME
    cat >"$work/$1.lab"
    status=0
    "$BODKIN" lab run "$work/$1.lab" >"$work/$1" 2>&1 || status=$?
    [ $status -eq 0 ] || { tail -n 5 "$work/$1" >&2; exit $status; }
}

# Each transfer in a lab's output as: bits per second, then CPU seconds of sender, receiver, lab,
# server, each per GB; sorted by speed.
figures() {
    awk '
        function field(name) { match($0, "\"" name "\":[0-9.]+"); s = substr($0, RSTART, RLENGTH)
                               sub(/^.*:/, "", s); return s }
        function value(name) { for (i = 1; i <= NF; i++) if (index($i, name "=") == 1)
                                   return substr($i, length(name) + 2); return 0 }
        function row() { if (have_client && have_listener && gb > 0) {
            printf "%.0f %.2f %.2f %.2f %.2f\n", bps, own / gb, peer / gb, router / gb, server / gb
            have_client = have_listener = gb = 0 } }
        /"event":"first-byte"/ && /^alice/ { begin = field("after_ms") }
        /"event":"done"/ && /^alice/ { gb = field("sent") / 1e9
            bps = gb * 8e12 / (field("after_ms") - begin) }
        /receiver$/ && /^alice/ { for (i = 1; i <= NF; i++) if ($i == "Mbits/sec") bps = $(i - 1) * 1e6
            gb = bps * 4 / 8e9 }
        /\| cpu client/ { own = value("own"); router = value("router"); server = value("server")
                          have_client = 1; row() }
        /\| cpu listener/ { peer = value("own"); have_listener = 1; row() }' "$1" | sort -n
}

show() { # show WHAT LINKS FILE REFERENCE-BPS: one row, the median
    figures "$3" | awk -v what="$1" -v links="$2" -v of="$4" '
        { line[NR] = $0 }
        END { if (NR == 0) { print "no figures of " what; exit 1 }
              split(line[int((NR + 1) / 2)], f, " ")
              printf "%-6s %-24s %7.2f %8.2f %9.2f %6.2f %7.2f   %s\n", links, what, f[1] / 1e9, f[2], f[3],
                  f[4], f[5], (of > 0 ? sprintf("%3.0f %%", 100 * f[1] / of) : "") }'
}
bps() { figures "$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] + 0 }'; }

echo "$(getconf _NPROCESSORS_ONLN) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)), Linux" \
    "$(uname -r), load $(cut -d' ' -f1 /proc/loadavg); sender, receiver, lab and server share them"
printf '%-6s %-24s %7s %8s %9s %6s %7s   %s\n' links "" Gbit/s "sender" "receiver" lab server "of iperf3 TCP"
for delay in 0ms 20ms; do
    serve='start server: echo pid $$; exec "$BODKIN" serve --state "$BODKIN_LAB_DIR" --log-level warn
wait server: pid {server}
wait server: home: {home}'
    { homes "$delay" home; echo "$serve"; for i in $(seq "$rounds"); do transfer "$i" zeros ""; done; } | lab direct
    { homes "$delay" home; echo "$serve"; for i in $(seq "$rounds"); do transfer "$i" few-zeros --relay-only; done; } | lab relayed
    { homes "$delay" full-cone; iperf_tcp; } | lab tcp
    { homes "$delay" home; iperf_udp; } | lab udp
    reference=$(bps "$work/tcp")
    show "connect, direct" "$delay" "$work/direct" "$reference"
    show "connect --relay-only" "$delay" "$work/relayed" "$reference"
    show "iperf3 TCP" "$delay" "$work/tcp" ""
    show "iperf3 UDP, one box" "$delay" "$work/udp" ""
done
echo "(CPU seconds per GB of each process)"
