#!/bin/sh
# SPDX-License-Identifier: MIT
# bodkin lab with real programs: two homes behind NATs and a server. Everything happens inside
# namespaces that the lab makes; only processes started here are signalled.
# Wants BODKIN, the program. Exit 77: this machine cannot run labs, or has no python3.
set -u
: "${BODKIN:?is the path of the program}"
command -v python3 >/dev/null || { echo "skipped: python3 is the test's network program, and is not here"; exit 77; }

work=$(mktemp -d) || exit 1
chmod 755 "$work"
trap 'rm -rf "$work"' EXIT
export XDG_RUNTIME_DIR="$work" # our labs only, whatever else runs here
failed=0 passed=0

check() { # check NAME COMMAND...: the command must succeed
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        sed 's/^/      | /' "$work/out"
    fi
}

cat >"$work/net.py" <<'PY'
import socket, sys, threading, time
verb = sys.argv[1]
def udp(family=socket.AF_INET):
    s = socket.socket(family, socket.SOCK_DGRAM); s.settimeout(1); return s
def serve():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.bind(("::", 3478))
    t = socket.create_server(("::", 80), family=socket.AF_INET6, dualstack_ipv6=True)
    def tcp():
        while True:
            c, a = t.accept(); c.sendall(c.recv(1000)); c.close()
    threading.Thread(target=tcp, daemon=True).start()
    print("ready at 3478", flush=True)
    while True:
        data, a = s.recvfrom(2000); s.sendto(("%s %d" % (a[0].replace("::ffff:", ""), a[1])).encode(), a)
def ask(host, count=10):
    s = udp(socket.AF_INET6 if ":" in host else socket.AF_INET); best = 1e9
    for i in range(count):
        start = time.time(); s.sendto(b"x", (host, 3478)); got = s.recvfrom(100)[0].decode()
        best = min(best, time.time() - start)
    print("seen as", got, "rtt_ms", "%.1f" % (best * 1000), flush=True)
if verb == "serve": serve()
elif verb == "ask": ask(sys.argv[2])
elif verb == "tcp":
    c = socket.create_connection((sys.argv[2], 80), 3); c.sendall(b"over tcp"); print(c.recv(100).decode())
elif verb == "hold": # opens a mapping, says which, and waits for a stranger, so many seconds
    s = udp(); s.sendto(b"x", (sys.argv[2], 3478)); print("mapped", s.recvfrom(100)[0].decode(), flush=True)
    s.settimeout(float(sys.argv[3]))
    try: s.recvfrom(100); print("a stranger got in", flush=True); sys.exit(5)
    except socket.timeout: print("silence", flush=True)
elif verb == "knock":
    s = udp()
    for i in range(5): s.sendto(b"knock", (sys.argv[2], int(sys.argv[3]))); time.sleep(.05)
elif verb == "count":
    s = udp(); s.settimeout(20); s.bind(("", 9000)); print("counting", flush=True); n = 0
    try:
        while True: s.recv(100); n += 1; s.settimeout(3)
    except socket.timeout: print("arrived", n, flush=True)
elif verb == "burst":
    s = udp()
    for i in range(1000): s.sendto(b"x", (sys.argv[2], 9000)); time.sleep(.0005)
PY

cat >"$work/homes" <<'EOF2'
[lab]
timeout = 30s
[nat alice-router]
preset = home
public = 203.0.113.1
inside = 192.168.1.1/24, 2001:db8:a::1/64
delay = 20ms
[nat bob-router]
preset = home
public = 203.0.113.2
inside = 192.168.1.1/24
delay = 20ms
[nat office]
preset = home
udp = blocked
public = 203.0.113.3
inside = 10.0.0.1/24
[host alice]
behind = alice-router
address = 192.168.1.10, 2001:db8:a::10
[host bob]
behind = bob-router
address = 192.168.1.10
[host worker]
behind = office
address = 10.0.0.5
[host lossy]
address = 198.51.100.20
loss = 20% / 0
[host server]
address = 198.51.100.10, 2001:db8:5::10
[run]
EOF2

net="python3 $work/net.py"
lab() { # lab NAME: steps from standard input; output and status to $work/out and $status
    { cat "$work/homes" -; } >"$work/$1.lab"
    "$BODKIN" lab run "$work/$1.lab" >"$work/out" 2>&1
    status=$?
}
refused() { ! "$@"; }
says() { grep -q "$1" "$work/out"; }
rtt_between() { # the last "rtt_ms" in the output
    sed -n 's/.*rtt_ms //p' "$work/out" | tail -1 | awk -v a="$1" -v b="$2" '{ok = $1 >= a && $1 < b} END {exit !ok}'
}

lab first <<EOF2
alice: true
EOF2
if [ $status -eq 77 ]; then
    echo "skipped: $(cat "$work/out")"
    exit 77
fi
check "a lab starts and ends" [ $status -eq 0 ]

start="start server: $net serve
wait server: ready at {port}"

lab udp <<EOF2
$start
bob: $net ask 198.51.100.10
alice: $net ask 198.51.100.10; echo port "\$port" on \$(hostname)
EOF2
check "UDP through a NAT, seen as its public address" says "alice .*seen as 203.0.113.1 "
check "the other home has its own address" says "bob .*seen as 203.0.113.2 "
check "a round trip over 20 ms links takes 40 ms" rtt_between 40 80
check "captured words reach later commands, hosts have names" says "port 3478 on alice"

lab ipv6 <<EOF2
$start
alice: $net ask 2001:db8:5::10
EOF2
check "IPv6 passes the firewall untranslated" says "seen as 2001:db8:a::10 "

lab tcp <<EOF2
$start
alice: $net tcp 198.51.100.10
worker: $net tcp 198.51.100.10
worker exit=1: $net ask 198.51.100.10
EOF2
check "TCP through NATs; udp = blocked blocks UDP only" [ $status -eq 0 ]

lab filter <<EOF2
$start
start alice: $net hold 198.51.100.10 3
wait alice: mapped {ip} {mapped}
bob: $net knock 203.0.113.1 "\$mapped"
server: $net knock 203.0.113.1 "\$mapped"
join alice
EOF2
check "a home router keeps strangers out" says "silence"
check "and the lab succeeds" [ $status -eq 0 ]

sed -i '0,/preset = home/s//preset = full-cone/' "$work/homes"
lab fullcone <<EOF2
$start
start alice: $net hold 198.51.100.10 20
wait alice: mapped {ip} {mapped}
bob: $net knock 203.0.113.1 "\$mapped"
join alice exit=5
EOF2
check "a full cone lets them in" says "a stranger got in"
sed -i 's/preset = full-cone/preset = home/' "$work/homes"

lab loss <<EOF2
start server: $net count
wait server: counting
lossy: $net burst 198.51.100.10
join server
EOF2
arrived=$(sed -n 's/.*arrived //p' "$work/out")
check "20 % loss loses about 200 of 1000 (left: ${arrived:-?})" \
    [ "${arrived:-0}" -gt 720 -a "${arrived:-0}" -lt 880 ]

lab cut <<EOF2
$start
at 100ms: set bob delay=1ms
cut alice-router server udp
alice exit=1: $net ask 198.51.100.10
alice: $net tcp 198.51.100.10
bob: $net ask 198.51.100.10
restore
set alice-router delay=5ms
alice: $net ask 198.51.100.10
EOF2
check "cut, restore and set work from [run]" [ $status -eq 0 ]
check "a shorter link is a shorter round trip" rtt_between 10 40

lab status <<EOF2
alice exit=3: exit 3
alice: exit 7
alice: echo not reached
EOF2
check "the failing command's status is the lab's" [ $status -eq 7 ]
check "and the step's line is named" says "status.lab:[0-9]*: alice ended with status 7, not 0"

lab timeout <<EOF2
alice timeout=200ms: sleep 60
EOF2
check "a timeout is status 124" [ $status -eq 124 ]

lab names <<EOF2
start alice: echo first; sleep 0.3; echo second
wait alice: first
alice: echo other
wait alice: second
alice: seq 200000 | tail -1
EOF2
check "a name means the started command, not a later one in that host" [ $status -eq 0 ]

lab waits <<EOF2
start alice: echo one
wait alice: two
EOF2
check "a program that ends without the awaited line is an error" says "never printed \"two\""

marker=$((10000000 + $$)) # a sleep nobody else has
lab leftovers <<EOF2
start alice: sleep $marker
bob: setsid sleep $marker & (trap '' TERM; sleep $marker) & true
EOF2
none_left() { ! grep -lsa "^sleep.$marker" /proc/[0-9]*/cmdline | grep -q .; }
check "nothing is left behind" none_left
no_socket() { [ -z "$(ls "$work/bodkin-lab" 2>/dev/null)" ]; }
check "not even a socket" no_socket

# Other ways to run one.
run() { "$BODKIN" lab "$@" >"$work/out" 2>&1; }
check "one command instead of the file's" run run "$work/udp.lab" alice echo "it's" alice
check "keeps its words" says "alice .*it's alice"
with_set() { "$BODKIN" lab run --set alice-router:delay=1ms --set bob-router:preset=udp-blocked "$work/udp.lab" >"$work/out" 2>&1; }
check "--set blocks UDP" refused with_set
sees_loss() { run run --set server:loss=100% "$work/tcp.lab"; }
check "--set loses everything" refused sees_loss
for example in "${SOURCE_DIR:-.}"/examples/*.lab; do
    [ -e "$example" ] && check "$(basename "$example") is right" run check "$example"
done
printf '[host a]\nadress = 1.2.3.4\n' >"$work/wrong.lab"
check "a wrong file is refused" refused run check "$work/wrong.lab"
check "with the line and the word" says 'wrong.lab:2: unknown setting "adress" of a host'

# A running lab, from outside.
{ cat "$work/homes"; echo "$start"; } >"$work/live.lab"
: >"$work/json"
"$BODKIN" lab run --keep --json "$work/live.lab" >"$work/json" 2>&1 &
pid=$!
tries=0
until grep -q "ready at" "$work/json" || [ $tries -ge 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
check "list shows it" run list
check "with its hosts" says "^live .*alice bob worker lossy server"
check "exec runs in a host" run exec alice python3 "$work/net.py" ask 198.51.100.10
check "with its address" says "seen as 203.0.113.1 "
in_shell() { echo 'echo shell on $(hostname)' | SHELL=/bin/sh run shell --lab live bob; }
check "shell opens" in_shell
check "in the host" says "shell on bob"
check "cut" run cut alice udp
check "is felt" refused run exec alice python3 "$work/net.py" ask 198.51.100.10
check "restore" run restore
check "is felt too" run exec alice python3 "$work/net.py" ask 198.51.100.10
"$BODKIN" lab events >"$work/followed" 2>&1 &
follower=$!
sleep 0.3
check "a second command beside one who follows" run exec alice python3 "$work/net.py" ask 198.51.100.10
check "a wrong name is refused" refused run cut nobody
check "in words" says '"nobody" is neither a host, a NAT, nor udp, tcp or icmp'
check "an unknown host too" refused run exec nobody true
kill -INT $pid
wait $pid
check "Ctrl-C ends it with 130" [ $? -eq 130 ]
cp "$work/json" "$work/out"
check "events ends with the lab" wait $follower
cp "$work/followed" "$work/out"
check "and told of a mapping" says "alice-router: udp 192.168.1.10:[0-9]* is now 203.0.113.1:[0-9]* outside"
cp "$work/json" "$work/out"
check "--json prints JSON lines" python3 -c "import json,sys; [json.loads(l) for l in open('$work/json')]"

# Killed without a chance to clean up: the kernel ends the programs.
{ cat "$work/homes"; echo "alice: exec sleep $marker"; } >"$work/killed.lab"
"$BODKIN" lab run "$work/killed.lab" >"$work/out" 2>&1 &
pid=$!
sleep 1
kill -KILL $pid
wait $pid 2>/dev/null
sleep 0.3
check "killed, its programs die with it" none_left
no_labs() { run list && no_socket; }
check "and list clears its socket away" no_labs

# A capture of every link, and the log. python3 reads the capture; tshark, where it is, has a look too.
cat >"$work/pcapng.py" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read(); at = 0; names = []; seen = {}; comments = []
def options(body):
    out = {}; i = 0
    while i + 4 <= len(body):
        code, n = struct.unpack_from("<HH", body, i); out.setdefault(code, []).append(body[i+4:i+4+n])
        i += 4 + (n + 3) // 4 * 4
        if code == 0: break
    return out
while at < len(data):
    kind, size = struct.unpack_from("<II", data, at); body = data[at+8:at+size-4]
    assert struct.unpack_from("<I", data, at + size - 4)[0] == size
    if kind == 1: names.append(options(body[8:])[2][0].decode())
    if kind == 6:
        link, high, low, n, whole = struct.unpack_from("<IIIII", body); o = options(body[20 + (n + 3) // 4 * 4:])
        ip = body[20:20+n]; assert n == whole <= 1500 and ip[0] >> 4 in (4, 6), (n, ip[:1])
        way = {1: "in", 2: "out"}[struct.unpack("<I", o[2][0])[0]]
        seen[(names[link], way)] = seen.get((names[link], way), 0) + 1
        comments += [names[link] + ": " + c.decode() for c in o.get(1, [])]
    at += size
for k in sorted(seen): print("link", *k, seen[k])
for c in sorted(set(comments)): print("comment", c)
PY
cat >>"$work/net.py" <<'PY'
if verb == "big": # one large datagram, which may be fragmented, and a large upload
    s = udp(); s.setsockopt(socket.IPPROTO_IP, 10, 0); s.sendto(b"x" * 1450, (sys.argv[2], 3478)); print("big:", s.recvfrom(100)[0].decode())
    c = socket.create_connection((sys.argv[2], 80), 3); c.sendall(b"y" * 900); c.recv(10); c.close()
PY
{ cat "$work/homes" | sed 's/^address = 198.51.100.10.*/&\nmtu = 1300/'; cat <<EOF2; } >"$work/watched.lab"
$start
alice: $net big 198.51.100.10
server: $net knock 203.0.113.1 7
cut alice-router server udp
alice exit=1: $net ask 198.51.100.10
EOF2
watched() { "$BODKIN" lab run --capture "$work/cap" --events "$work/events" "$work/watched.lab" >"$work/out" 2>&1; }
check "--capture and --events" watched
check "a datagram larger than a link's MTU arrives in fragments" says "alice .*big: 203.0.113.1 "
python3 "$work/pcapng.py" "$work/cap/watched.pcapng" >"$work/out" 2>&1
check "the capture has both ways of every link" says "link alice-router out"
check "of hosts too" says "link server in"
check "a refused packet's comment says who refused it" says "comment alice-router: dropped: unsolicited at alice-router"
check "a cut one's that it was cut" says "comment .*: dropped: cut on the link of server"
if command -v tshark >/dev/null; then
    tshark -r "$work/cap/watched.pcapng" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -o tcp.check_checksum:TRUE \
        -Y '_ws.malformed || ip.checksum.status == 0 || (udp.checksum.status == 0 && !ip.flags.mf == 1) || tcp.checksum.status == 0' >"$work/out" 2>/dev/null
    check "tshark finds nothing malformed, no wrong checksum" [ ! -s "$work/out" ]
else
    echo "skipped: reading the capture with tshark, which is not here"
fi
cp "$work/events" "$work/out"
check "the log has mappings with their addresses" says '"event":"mapped",.*"host":"alice-router","proto":"udp","from":"192.168.1.10:[0-9]*","outside":"203.0.113.1:'
check "drops with their reason" says '"event":"dropped",.*"reason":"unsolicited","proto":"udp","from":"198.51.100.10:'
check "changes" says '"event":"changed",.*"text":"cut alice-router server udp"'
check "in JSON lines" python3 -c "import json; [json.loads(l) for l in open('$work/events')]"
nowhere() { "$BODKIN" lab run --capture /proc/nowhere "$work/watched.lab" >"$work/out" 2>&1; }
check "a capture that cannot be written is an error" refused nowhere
check "in one sentence" says "cannot write the capture /proc/nowhere/watched.pcapng"
if [ -c /dev/full ]; then
    mkdir -p "$work/full" && ln -sf /dev/full "$work/full/first.pcapng"
    "$BODKIN" lab run --events /dev/full "$work/first.lab" >"$work/out" 2>&1
    check "a full disk ends the log, not the lab" [ $? -eq 0 ]
    check "and says so once" [ "$(grep -c 'No space left' "$work/out")" -eq 1 ]
fi

# Without root (here: as nobody). The device node of this machine may be for root only; then a private one is used.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null && command -v unshare >/dev/null &&
    mknod -m 666 "$work/tun" c 10 200 && unshare -m mount --bind "$work/tun" /dev/net/tun; then
    cp "$BODKIN" "$work/bodkin" && chmod 755 "$work/bodkin"
    mkdir -m 700 "$work/run" && chown 65534:65534 "$work/run"
    { cat "$work/homes"; printf '%s\n' "$start" "alice: $net ask 198.51.100.10; id -u"; } >"$work/user.lab"
    chmod 644 "$work"/*.lab "$work/net.py"
    as_nobody="env XDG_RUNTIME_DIR=$work/run setpriv --reuid 65534 --regid 65534 --clear-groups"
    unshare -m sh -c "mount --bind $work/tun /dev/net/tun && exec $as_nobody $work/bodkin lab run $work/user.lab" >"$work/out" 2>&1
    status=$?
    if [ $status -eq 77 ]; then
        echo "skipped: without root: $(tail -1 "$work/out")"
    else
        check "works without root" [ $status -eq 0 ]
        check "as the calling user" says "alice .* 65534"
        check "with the network of a lab" says "seen as 203.0.113.1 "
    fi
    chmod 600 "$work/tun"
    unshare -m sh -c "mount --bind $work/tun /dev/net/tun && exec $as_nobody $work/bodkin lab run $work/user.lab" >"$work/out" 2>&1
    check "without the device it says so and exits 77" [ $? -eq 77 ]
    check "in one sentence" says "you may not open /dev/net/tun"
else
    echo "skipped: becoming another user, which needs root, setpriv, unshare and mknod"
fi

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
