#!/bin/sh
# SPDX-License-Identifier: MIT
# What the lab carries, beside the kernel's own NAT on the same machine in the same run: two hosts
# with one `home` NAT between them, in the lab, and in namespaces joined by veth pairs with nft's
# masquerade (root only). Medians of ROUNDS=3 of SECONDS_EACH=2 each. Also how long a thousand hosts take.
# Wants BODKIN, the program, and bench-lab (bench/lab.c), built with it. Status 77: no labs here.
set -eu
: "${BODKIN:?is the path of the program}"
tool=${BENCH_LAB:-$(dirname "$BODKIN")/bench/bench-lab}
rounds=${ROUNDS:-3} seconds=${SECONDS_EACH:-2}
work=$(mktemp -d "${TMPDIR:-/dev/shm}/bodkin.XXXXXX" 2>/dev/null || mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work" tool seconds work
command -v iperf3 >/dev/null || { echo "skipped: iperf3 is not here"; exit 77; }
[ -x "$tool" ] || { echo "$tool is not there: make bench builds it"; exit 2; }

cat >"$work/alice.sh" <<'EOF2'
# What alice does, in both worlds: alice.sh SERVER-ADDRESS tcp|rtt
[ "$2" = tcp ] || exec "$tool" ping "$1" 7 20000
iperf3 -c "$1" -t "$seconds" -C cubic -f m 2>/dev/null || iperf3 -c "$1" -t "$seconds" -f m
EOF2

topology() { # topology NAT?
    [ "$1" = nat ] && printf '[nat router]\npreset = home\npublic = 203.0.113.1\ninside = 192.168.1.1/24\n'
    printf '[host alice]\n'
    [ "$1" = nat ] && printf 'behind = router\naddress = 192.168.1.10\n' || printf 'address = 203.0.113.1\n'
    printf '[host server]\naddress = 198.51.100.10\n[run]\n'
}

lab_cpu() { # lab_cpu NAME: the lab's own CPU time until now
    echo "alice: cut -d' ' -f14,15 /proc/\$PPID/stat | sed 's/^/lab-cpu $1 /'"
}

blast() { # blast NAME SIZE SEGMENTS: a step that counts the lab's own CPU time around it
    cat <<EOF2
start server as $1: exec "\$tool" sink 9 $2
wait $1: ready
$(lab_cpu "$1")
alice: "\$tool" send 198.51.100.10 9 $2 "\$seconds" $3
join $1
$(lab_cpu "$1")
EOF2
}

in_lab() { # in_lab NAT? OUTPUT
    {
        topology "$1"
        cat <<EOF2
start server as pong: exec "\$tool" pong 7
wait pong: ready
start server as iperf: exec iperf3 -s -1 --forceflush
wait iperf: listening
alice: sh "\$work/alice.sh" 198.51.100.10 rtt
$(lab_cpu tcp)
alice: sh "\$work/alice.sh" 198.51.100.10 tcp
join iperf
$(lab_cpu tcp)
EOF2
        blast small 64 1
        blast large 1200 40
    } >"$work/bench.lab"
    status=0
    "$BODKIN" lab run --quiet "$work/bench.lab" >"$2" 2>&1 || status=$?
    [ $status -eq 0 ] || { tail -n 5 "$2" >&2; exit $status; }
}

# Everything here is in a mount namespace of its own and goes with it.
cat >"$work/veth.sh" <<'EOF2'
set -e
mount --make-rprivate /
mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns
for n in alice router server; do ip netns add $n; ip -n $n link set lo up; done
ip -n router link add inside type veth peer name eth0 netns alice
ip -n router link add outside type veth peer name eth0 netns server
ip -n alice addr add 192.168.1.10/24 dev eth0
ip -n router addr add 192.168.1.1/24 dev inside
ip -n router addr add 198.51.100.1/24 dev outside
ip -n server addr add 198.51.100.10/24 dev eth0
for l in alice:eth0 router:inside router:outside server:eth0; do ip -n "${l%:*}" link set "${l#*:}" up; done
ip -n alice route add default via 192.168.1.1
ip netns exec router sysctl -qw net.ipv4.ip_forward=1
ip netns exec router nft -f - <<'NFT'
table ip nat {
    chain post {
        type nat hook postrouting priority 100
        oifname "outside" masquerade
    }
}
NFT
ip netns exec server "$tool" pong 7 >/dev/null & pong=$!
ip netns exec server iperf3 -s -1 >/dev/null & iperf=$!
sleep 0.5
ip netns exec alice sh "$work/alice.sh" 198.51.100.10 rtt
ip netns exec alice sh "$work/alice.sh" 198.51.100.10 tcp
wait $iperf
for kind in "small 64 1" "large 1200 40"; do
    set -- $kind
    ip netns exec server "$tool" sink 9 "$2" >"$work/sink" & sink=$!
    sleep 0.3
    ip netns exec alice "$tool" send 198.51.100.10 9 "$2" "$seconds" "$3"
    wait $sink
    sed "s,^,server/$1 | ," "$work/sink"
done
kill $pong
EOF2

kernel() { # kernel OUTPUT
    unshare -m sh "$work/veth.sh" >"$1" 2>&1 || { tail -n 3 "$1" >&2; return 1; }
}

# One line "tcp-gbit rtt-us small-pps small-lab-us large-gbit large-lab-us tcp-lab-s-per-gb" of an output.
figures() {
    awk '
        /receiver$/ { for (i = 1; i <= NF; i++) if ($i == "Mbits/sec") tcp = $(i - 1) / 1000 }
        /rtt_us/ { for (i = 1; i <= NF; i++) if ($i == "rtt_us") rtt = $(i + 1) }
        /lab-cpu/ { for (i = 1; i <= NF; i++) if ($i == "lab-cpu") { k = $(i + 1)
            ticks[k] = $(i + 2) + $(i + 3) - begun[k]; begun[k] = $(i + 2) + $(i + 3) } }
        /received/ { split($1, name, "/"); k = name[2]
            for (i = 1; i <= NF; i++) { if ($i == "received") n[k] = $(i + 1); if ($i == "pps") pps[k] = $(i + 1) } }
        /sender$/ { for (i = 1; i <= NF; i++) { if ($i == "GBytes") gb = $(i - 1) * 1.074; if ($i == "MBytes") gb = $(i - 1) * 1.049e-3 } }
        END { printf "%.2f %.1f %.0f %.2f %.2f %.2f %.2f\n", tcp, rtt, pps["small"],
              n["small"] ? ticks["small"] * 1e4 / n["small"] : 0, pps["large"] * 1200 * 8 / 1e9,
              n["large"] ? ticks["large"] * 1e4 / n["large"] : 0, gb ? ticks["tcp"] / 100 / gb : 0 }' "$1"
}

median() { # median COLUMN FILES...
    column=$1
    shift
    cat "$@" | awk -v c="$column" '{ print $c }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

i=0
while [ $i -lt "$rounds" ]; do
    i=$((i + 1))
    in_lab nat "$work/out" && figures "$work/out" >"$work/nat.$i"
    in_lab flat "$work/out" && figures "$work/out" >"$work/flat.$i"
    if [ "$(id -u)" -eq 0 ] && command -v nft >/dev/null && command -v ip >/dev/null && kernel "$work/out"; then
        figures "$work/out" >"$work/kernel.$i"
    else
        echo "- - - - - - -" >"$work/kernel.$i"
    fi
done

echo "$(getconf _NPROCESSORS_ONLN) cores ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1)), Linux" \
    "$(uname -r), load $(cut -d' ' -f1 /proc/loadavg); both hosts and the lab share them"
printf '%-44s %10s %10s %10s %8s\n' "" "lab, NAT" "lab, none" "kernel NAT" "of it"
row() { # row TEXT COLUMN SCALE-FORMAT
    n=$(median "$2" "$work"/nat.*) f=$(median "$2" "$work"/flat.*) k=$(median "$2" "$work"/kernel.*)
    case $1 in " "*) k= ;; esac # the kernel's own work counts for the hosts
    printf '%-44s %10s %10s %10s %8s\n' "$1" "$n" "$f" "$k" \
        "$(awk -v a="$n" -v b="$k" 'BEGIN { if (b + 0 > 0) printf "%.0f %%", 100 * a / b; else print "" }')"
}
row "TCP, one stream, Gbit/s" 1
row "  the lab's CPU time for a GB, s" 7
row "UDP round trip, median, us" 2
row "UDP 64 bytes, one sender, packets/s" 3
row "  the lab's CPU time for one, us" 4
row "UDP 1200 bytes, UDP_SEGMENT 40, Gbit/s" 5
row "  the lab's CPU time for a packet, us" 6

thousand() { # thousand NATS?: 1000 hosts, up and down again
    awk -v nat="$1" 'BEGIN {
        for (i = 0; i < 1000; i++) {
            if (nat) printf "[nat r%d]\npublic = 198.51.%d.%d\ninside = 192.168.1.1/24\n[host h%d]\nbehind = r%d\naddress = 192.168.1.10\n", i, i / 250, i % 250 + 1, i, i
            else printf "[host h%d]\naddress = 198.51.%d.%d\n", i, i / 250, i % 250 + 1 }
        print "[run]\nh0: true" }' >"$work/many.lab"
    j=0
    while [ $j -lt "$rounds" ]; do
        j=$((j + 1))
        sh -c 'start=$(date +%s%N); "$BODKIN" lab run --quiet "$work/many.lab"
               end=$(date +%s%N); echo "$start $end"; times' | awk '
            NR == 1 { wall = ($2 - $1) / 1e9 }
            NR == 3 { split($1, u, /[ms]/); split($2, s, /[ms]/)
                      printf "%.2f %.2f\n", wall, u[1] * 60 + u[2] + s[1] * 60 + s[2] }'
    done | sort -n | awk '{ v[NR] = $1; c[NR] = $2 } END { m = int((NR + 1) / 2)
        printf "%.2f s, %.2f s of CPU\n", v[m], c[m] }'
}
printf '%-44s %s\n' "1000 hosts, up, one command, down" "$(thousand 0)"
printf '%-44s %s\n' "1000 homes with a NAT each, the same" "$(thousand 1)"
