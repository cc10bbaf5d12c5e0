#!/bin/sh
# SPDX-License-Identifier: MIT
# The NAT model against Linux: one script of UDP packets runs behind the model (in `bodkin lab`) and
# behind netfilter (masquerade, in namespaces of this test); what gets through and which ports appear
# must be the same, but for the random draw. Presets "home" and "symmetric".
#
#     in1, in2 ── box 203.0.113.1 ── A 198.51.100.1, B 198.51.100.2
#
# Wants BODKIN, the program. Exit 77: this machine lacks namespaces, nft or python3.
# A known difference is left out: netfilter lets two inside hosts share an outside port towards
# different destinations (RFC 7857 section 4); the model never overloads a port.
set -u
: "${BODKIN:?is the path of the program}"
for tool in python3 nft ip unshare; do
    command -v $tool >/dev/null || { echo "skipped: no $tool"; exit 77; }
done

work=$(mktemp -d) || exit 1
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work"

# A pair of hands in a host: does what it is told over a Unix socket, one JSON line each way.
cat >"$work/agent.py" <<'PY'
import json, os, select, socket, sys
sockets = {}
def do(op, port, ip, *args):
    key = (ip, port)
    if key not in sockets:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(key); sockets[key] = s
    s = sockets[key]
    if op == "send":
        s.sendto(args[1].encode(), (args[0][0], args[0][1])); return True
    if not select.select([s], [], [], args[0])[0]: return None
    data, a = s.recvfrom(2000); return [data.decode(), a[0], a[1]]
path = sys.argv[1]
server = socket.socket(socket.AF_UNIX); server.bind(path + ".new"); server.listen()
os.chmod(path + ".new", 0o777); os.rename(path + ".new", path)
print("agent is ready", flush=True)
c, _ = server.accept(); f = c.makefile("rw")
for line in f:
    f.write(json.dumps(do(*json.loads(line))) + "\n"); f.flush()
PY

# The script. Inside addresses do not appear in what it prints.
cat >"$work/script.py" <<'PY'
import json, socket, sys, time
work, first_s, replied_s = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
IP = {"in1": "0.0.0.0", "in2": "0.0.0.0", "A": "198.51.100.1", "B": "198.51.100.2"}
BOX = "203.0.113.1"
files = {}
for host in IP:
    for _ in range(100):
        try:
            s = socket.socket(socket.AF_UNIX); s.connect("%s/%s.sock" % (work, host)); break
        except OSError: time.sleep(0.1)
    files[host] = s.makefile("rw")
def tell(host, op, port, *args):
    f = files[host]; f.write(json.dumps([op, port, IP[host], *args]) + "\n"); f.flush()
    return json.loads(f.readline())
count = 0
def out(host, port, remote, rport):
    """From inside; returns the outside port the remote host saw."""
    global count; count += 1; tag = "out%d" % count
    tell(remote, "recv", rport, 0.0)
    tell(host, "send", port, [IP[remote], rport], tag)
    got = tell(remote, "recv", rport, 1.0)
    print("%s:%d > %s:%d" % (host, port, remote, rport), end=": ")
    if got is None: print("lost"); return None
    assert got[0] == tag and got[1] == BOX, got
    print("kept" if got[2] == port else "another port"); return got[2]
def back(remote, rport, eport, host, port, what):
    """From outside to the box; does it reach the inside socket, with its source?"""
    global count; count += 1; tag = "in%d" % count
    tell(remote, "send", rport, [BOX, eport], tag)
    got = tell(host, "recv", port, 0.6)
    print("%s:%d > %s: %s" % (remote, rport, what, "dropped" if got is None else "passes"))
    if got is not None: assert got == [tag, IP[remote], rport], got
def same(a, b, what): print(what, "same" if a == b else "different")
m1 = out("in1", 41000, "A", 1000)
m2 = out("in1", 41000, "B", 1000); same(m1, m2, "to A and to B:")
m3 = out("in1", 41000, "A", 1001); same(m1, m3, "to two ports of A:")
same(m1, out("in1", 41000, "A", 1000), "to A again:")
back("A", 1000, m1, "in1", 41000, "the mapping for A:1000")
back("A", 1002, m1, "in1", 41000, "the mapping for A:1000, from another port")
back("B", 1002, m1, "in1", 41000, "the mapping for A:1000, from a stranger")
back("B", 1000, m2, "in1", 41000, "the mapping for B:1000")
back("B", 1000, 39999, "in1", 41000, "a port without mapping")
c1 = out("in2", 41000, "A", 1000); same(m1, c1, "two hosts, one inside port:")
same(c1, out("in2", 41000, "B", 1003), "the second host to A and to B:")
assert 1024 <= c1 <= 65535
back("A", 1000, c1, "in2", 41000, "the second host's mapping")
out("in1", 700, "A", 1000)
tell("in2", "send", 42000, [BOX, m1], "hairpin")
print("in2 > the box > in1:", "dropped" if tell("in1", "recv", 41000, 0.6) is None else "passes")
# Timers: first, and after answers that came late enough.
t1 = out("in1", 43000, "A", 1010); time.sleep(first_s + 1)
back("A", 1010, t1, "in1", 43000, "a mapping unanswered for too long")
t2 = out("in1", 43001, "A", 1011); time.sleep(2.2)
back("A", 1011, t2, "in1", 43001, "a young mapping")
out("in1", 43001, "A", 1011); time.sleep(first_s + 1)
back("A", 1011, t2, "in1", 43001, "an answered mapping after the first timer")
time.sleep(replied_s + 1)
back("A", 1011, t2, "in1", 43001, "an answered mapping silent for too long")
print("done")
PY

first=4 replied=7 # seconds; the stream timer starts after 2

# Both take a directory of their own for sockets and results.
cat >"$work/kernel.sh" <<'SH'
set -eu
work=$1 dir=$2 first=$3 replied=$4 rule=$5
mount -t tmpfs tmpfs /run
for ns in in1 in2 box out; do ip netns add $ns; ip -n $ns link set lo up; done
join() { # join NS IP/BITS: a link to the box, which has .1 of the network
    ip -n box link add "$1" type veth peer name eth0 netns "$1"
    ip -n "$1" address add "$2" dev eth0
    ip -n "$1" link set eth0 up
    ip -n box link set "$1" up
}
join in1 192.168.1.2/24; ip -n box address add 192.168.1.1/24 dev in1
join in2 192.168.2.2/24; ip -n box address add 192.168.2.1/24 dev in2
join out 203.0.113.254/24; ip -n box address add 203.0.113.1/24 dev out
ip -n out address add 198.51.100.1/32 dev lo; ip -n out address add 198.51.100.2/32 dev lo
ip -n in1 route add default via 192.168.1.1; ip -n in2 route add default via 192.168.2.1
ip -n box route add default via 203.0.113.254
ip netns exec box nft -f - <<NFT
table ip t {
    chain in { type filter hook input priority 0; iifname "out" drop; }
    chain nat { type nat hook postrouting priority 100; oifname "out" $rule; }
}
NFT
ip netns exec box sh -c "echo 1 >/proc/sys/net/ipv4/ip_forward
    echo $first >/proc/sys/net/netfilter/nf_conntrack_udp_timeout
    echo $replied >/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream"
for host in in1 in2; do ip netns exec $host python3 "$work/agent.py" "$dir/$host.sock" & done
for host in A B; do ip netns exec out python3 "$work/agent.py" "$dir/$host.sock" & done
python3 "$work/script.py" "$dir" $first $replied
wait
SH

kernel() { # kernel DIR RULE: the script behind netfilter, in a user namespace of its own
    unshare -rnm sh "$work/kernel.sh" "$work" "$1" $first $replied "$2" 2>"$1/err" |
        grep -v -e '^agent is ready' -e '^$' >"$1/out" # two agents may share a line
}

model() { # model DIR PRESET: the script behind the model, in a lab
    cat >"$1/model.lab" <<LAB
[lab]
timeout = 60s
[nat box]
public = 203.0.113.1
inside = 192.168.1.1/24
preset = $2
udp-first = $first
udp-replied = $replied
[host in1]
behind = box
address = 192.168.1.2
[host in2]
behind = box
address = 192.168.1.3
[host A]
address = 198.51.100.1
[host B]
address = 198.51.100.2
[run]
start in1: python3 $work/agent.py $1/in1.sock
start in2: python3 $work/agent.py $1/in2.sock
start A: python3 $work/agent.py $1/A.sock
start B: python3 $work/agent.py $1/B.sock
in1: python3 $work/script.py $1 $first $replied >$1/out 2>&1
LAB
    "$BODKIN" lab run "$1/model.lab" >"$1/err" 2>&1
}

unshare -rnm true 2>/dev/null || { echo "skipped: no user namespaces"; exit 77; }
set -- "home:masquerade" "symmetric:masquerade fully-random"
for case; do
    preset=${case%%:*}
    mkdir -m 777 "$work/$preset-kernel" "$work/$preset-model"
    kernel "$work/$preset-kernel" "${case#*:}" &
    model "$work/$preset-model" "$preset" &
done
wait
failed=0
for case; do
    preset=${case%%:*}
    linux=$work/$preset-kernel ours=$work/$preset-model
    if ! grep -q '^done' "$linux/out"; then
        grep -qiE 'not permitted|not supported|denied' "$linux/err" &&
            { echo "skipped: $(head -1 "$linux/err")"; exit 77; }
        echo "FAIL  $preset: the script behind netfilter"
        cat "$linux/out" "$linux/err"
        failed=$((failed + 1))
    elif diff "$linux/out" "$ours/out"; then
        echo "ok    $preset: $(wc -l <"$linux/out") answers, as netfilter's"
        [ -z "${VERBOSE:-}" ] || sed 's/^/      /' "$ours/out"
    else
        echo "FAIL  $preset: netfilter (<) and the model (>) differ"
        cat "$ours/err"
        failed=$((failed + 1))
    fi
done
[ $failed -eq 0 ]
