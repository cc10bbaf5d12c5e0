#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a TURN server costs: `bodkin serve` beside coturn and beside programs that only forward, in
one run. Client, server and peer in three network namespaces joined by veth; the server has one core,
client and peer the other. Loads by `bodkin turn`, plain UDP, ChannelData.

    bench/turn.py [--quick] [--rounds N] [--seconds S] [--json FILE] [--servers A,B]
                  [--minutes N] [--realtime] [LOAD...]

CPU-seconds per million relayed packets (utime + stime of the server) is the figure that repeats:
packets per second depend on what else the machine does. The rounds of the servers are interleaved, and
the median is shown. With the fast path the work is done in the kernel, outside of the process: there
the threads that poll the server's interfaces (threaded NAPI) are counted with it; docs/measurements.md
says how. BODKIN is the program; 77: no namespaces here."""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BODKIN = os.environ.get("BODKIN", os.path.join(TOP, "build", "release", "bodkin"))
USER, PASSWORD = "bench", "secret"
# Global addresses, as a relay refuses all others; they stay within the namespaces.
CLIENT, SERVER, RELAY, PEER = "100.1.1.1", "100.1.1.2", "100.1.2.2", "100.1.2.1"
MORE_CLIENTS = [f"100.1.1.{n}" for n in range(11, 15)]
PORT, PEER_PORT = 3478, 4000
LOAD_CORE, SERVER_CORE = "0", "1"
REALTIME = []  # not empty: everything goes before whatever else runs here


def pinned(core, urgency=1):
    """Under real-time scheduling nobody gives way to its equals, so who has a clock to keep (the
    sender) is more urgent than who has not."""
    return [*(["chrt", "-r", str(urgency)] if REALTIME else []), "taskset", "-c", core]


def sh(*argv, check=True):
    return subprocess.run(argv, check=check, capture_output=True, text=True).stdout


# ---- The network -------------------------------------------------------------------------------

class Network:
    """client -- server -- peer."""

    def __init__(self):
        self.c, self.s, self.p = (f"bt{os.getpid()}{x}" for x in "csp")

    def __enter__(self):
        try:
            for ns in (self.c, self.s, self.p):
                sh("ip", "netns", "add", ns)
                self.within(ns, "ip", "link", "set", "lo", "up")
        except (subprocess.CalledProcessError, FileNotFoundError):
            self.__exit__()
            print("SKIPPED: network namespaces need root and iproute2")
            sys.exit(77)
        self._join(self.c, "eth0", CLIENT, "client", SERVER)
        self._join(self.p, "eth0", PEER, "peer", RELAY)
        for a in MORE_CLIENTS:
            self.within(self.c, "ip", "addr", "add", f"{a}/24", "dev", "eth0")
        for ns, gateway in ((self.c, SERVER), (self.p, RELAY), (self.s, CLIENT)):
            # coturn relays nothing when its host has no default route
            self.within(ns, "ip", "route", "add", "default", "via", gateway)
        for ns in (self.c, self.p):
            self.within(ns, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1100 64900")
        self.within(self.s, "sysctl", "-qw", "net.ipv4.ip_local_port_range=1100 40000")
        return self

    def _join(self, ns, inner, address, outer, server_address):
        sh("ip", "link", "add", inner, "netns", ns, "type", "veth", "peer", "name", outer, "netns",
           self.s)
        for where, dev, addr in ((ns, inner, address), (self.s, outer, server_address)):
            self.within(where, "ip", "addr", "add", f"{addr}/24", "dev", dev)
            self.within(where, "ip", "link", "set", dev, "up")
            # Packets cross one by one, as on a wire: trains are cut before they leave.
            self.within(where, "ethtool", "-K", dev, "tx-udp-segmentation", "off", "gso", "off",
                        "tso", "off", check=False)
            self.within(where, "ethtool", "-K", dev, "gro", "on" if where == self.s else "off",
                        check=False)
        # On one link everybody knows everybody.
        macs = {w: self.within(w, "cat", f"/sys/class/net/{d}/address").strip()
                for w, d in ((ns, inner), (self.s, outer))}
        self.within(ns, "ip", "neigh", "replace", server_address, "lladdr", macs[self.s], "dev",
                    inner, "nud", "permanent")
        self.within(self.s, "ip", "neigh", "replace", address, "lladdr", macs[ns], "dev", outer,
                    "nud", "permanent")

    def __exit__(self, *_):
        for ns in (self.c, self.s, self.p):
            sh("ip", "netns", "del", ns, check=False)

    def within(self, ns, *argv, check=True):
        return sh("ip", "netns", "exec", ns, *argv, check=check)

    def start(self, ns, core, argv, log, **more):
        return subprocess.Popen(["ip", "netns", "exec", ns, *pinned(core), *argv],
                                stdout=log, stderr=log, stdin=subprocess.DEVNULL, **more)

    def receive_on(self, core):
        """Which core reads what comes in at the server: the sender's own (None), or this one."""
        mask = "0" if core is None else format(1 << int(core), "x")
        for dev in ("client", "peer"):
            self.within(self.s, "ethtool", "-K", dev, "gro", "on" if core is None else "off",
                        check=False)
            self.within(self.s, "sh", "-c",
                        f"echo {mask} >/sys/class/net/{dev}/queues/rx-0/rps_cpus")

    def threaded(self, on):
        """Polls the server's interfaces in kernel threads on the server's core, and gives their
        process numbers: their time is in their own account then. The other ends must poll, too, or
        XDP has no way to them; they do it where they are woken, so that what it costs to receive is
        in the account as well, as it is with sockets."""
        for ns in (self.c, self.p):
            self.within(ns, "ethtool", "-K", "eth0", "gro", "on" if on else "off", check=False)
        for dev in ("client", "peer"):
            self.within(self.s, "sh", "-c",
                        f"echo {int(on)} >/sys/class/net/{dev}/threaded", check=False)
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                if self._is_poller(pid)] if on else []

    def _is_poller(self, pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                if not f.read().startswith(("napi/client-", "napi/peer-")):
                    return False
        except OSError:
            return False
        sh("taskset", "-pc", SERVER_CORE, str(pid), check=False)
        if REALTIME:
            sh("chrt", "-r", "-p", "1", str(pid), check=False)
        return True


# ---- The servers -------------------------------------------------------------------------------

MORE_OPTIONS = {"many": ["--shared-ports"]}  # bodkin's, for a load


class Server:
    def __init__(self, name, argv, note="", turn=True, fast=False):
        self.name, self.argv, self.note, self.turn, self.fast = name, argv, note, turn, fast
        self.process = None

    def start(self, net, folder, load):
        more = MORE_OPTIONS.get(load, []) if self.name.startswith("bodkin") else []
        argv = [a.format(folder=folder) for a in self.argv + more]
        with open(os.path.join(folder, self.name.replace(" ", "-") + ".log"), "ab") as log:
            self.process = net.start(net.s, SERVER_CORE, argv, log,
                                     cwd=folder, env={**os.environ, "HOME": folder})
        until = time.monotonic() + 10
        while not listens(net):
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                return False
            time.sleep(0.05)
        time.sleep(0.3)
        return True

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


def listens(net):
    return f":{PORT:04X} " in net.within(net.s, "cat", "/proc/net/udp", "/proc/net/udp6")


def version_of(argv):
    try:
        text = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
        lines = [x for x in (text.stdout + text.stderr).splitlines() if x.strip()]
        return lines[-1] if lines else "?"
    except (OSError, subprocess.TimeoutExpired):
        return None


def bodkin_serve(*more):
    return [BODKIN, "serve", "--listen", SERVER, "--stun", str(PORT), "--https", "4443", "--name",
            SERVER, "--state", "{folder}", "--workers", "1", "--turn-user", f"{USER}:{PASSWORD}",
            "--relay-address", RELAY, "--allocations-max", "200000", "--user-allocations-max", "0",
            "--address-allocations-max", "0", "--bandwidth", "0", "--user-bandwidth", "0",
            "--throttle", "0", *more]


def all_servers(floor):
    found = []
    if shutil.which("turnserver"):
        found.append(Server("coturn", [
            "turnserver", "-n", "-m", "1", "-L", SERVER, "-E", RELAY, "-p", str(PORT),
            "--min-port=41000", "--max-port=65500", "--no-tls", "--no-dtls", "--no-cli",
            "--lt-cred-mech", "-u", f"{USER}:{PASSWORD}", "-r", "bench", "--pidfile={folder}/pid",
            "--db={folder}/db", "--log-file=stdout", "--simple-log"],
            "turnserver " + (version_of(["turnserver", "--version"]) or "?")))
    found.append(Server("bodkin", bodkin_serve("--fastpath", "off"), version_of([BODKIN, "--version"])))
    found.append(Server("bodkin fast path", bodkin_serve("--fastpath", "auto"), "XDP or tc",
                        fast=True))
    if floor:
        found.append(Server("floor plain", [floor, "plain", SERVER, str(PORT), RELAY],
                            "recvfrom and sendto, no rules", turn=False))
        found.append(Server("floor GRO+GSO", [floor, "gro", SERVER, str(PORT), RELAY],
                            "the same with UDP_GRO and UDP_SEGMENT", turn=False))
    return found


# ---- The loads ---------------------------------------------------------------------------------

def cpu_ns(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/schedstat", encoding="utf-8") as f:
                total += int(f.read().split()[0])
        except OSError:
            pass
    return total


class Run:
    """One server, one load: what `bodkin turn` said."""

    def __init__(self, net, server, options, folder):
        self.net, self.server, self.options, self.folder = net, server, options, folder
        self.threads = []

    def tool(self, *words, timeout=120):
        argv = ["ip", "netns", "exec", self.net.c, *pinned(LOAD_CORE, 2), BODKIN, "turn", *words,
                "--json", "--cpu-of", str(self.server.process.pid)]
        before = cpu_ns(self.threads)
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            return {"failed": f"no end after {timeout} s"}
        try:
            result = json.loads(done.stdout.splitlines()[-1])
        except (ValueError, IndexError):
            return {"failed": done.stderr.strip()[-200:] or f"status {done.returncode}"}
        result["kernel_cpu_s"] = (cpu_ns(self.threads) - before) / 1e9
        if done.returncode != 0:
            result["failed"] = done.stderr.strip()[-200:]
        return result

    def flood(self, *words):
        words = ["flood", f"{SERVER}:{PORT}", "--user", f"{USER}:{PASSWORD}", "--peer",
                 f"{PEER}:{PEER_PORT}", "--seconds", str(self.options.seconds), *words]
        with open(os.path.join(self.folder, "peer.log"), "ab") as log:
            peer = self.net.start(self.net.p, LOAD_CORE,
                                  [BODKIN, "turn", "peer", f"{PEER}:{PEER_PORT}"], log)
        try:
            time.sleep(0.2)
            return self.tool(*words)
        finally:
            peer.terminate()
            peer.wait()


def relayed(result):
    return result.get("up_relayed", 0) + result.get("down_relayed", 0)


def per_million(result):
    """With the kernel's part, where there is one."""
    if "cpu_s" not in result or relayed(result) == 0:
        return None
    return (result["cpu_s"] + result["kernel_cpu_s"]) * 1e6 / relayed(result)


def flood_load(*words):
    def run(r):
        result = r.flood(*words)
        return {"CPU-s/M": per_million(result), "kpps": relayed(result) / result["seconds"] / 1000,
                "raw": result} if "seconds" in result else {"raw": result}
    return run


def latency_load(*words):
    def run(r):
        result = r.flood(*words, "--latency")
        if "seconds" not in result:
            return {"raw": result}
        return {"CPU-s/M": per_million(result), "p50 us": result.get("up_p50_us"),
                "p99 us": result.get("up_p99_us"), "raw": result}
    return run


RATES = (40000, 60000, 80000, 100000, 130000, 160000, 200000, 250000, 300000)


def overload(r):
    """The most it can do, then all that the load can send, which is many times that."""
    words = ["--flows", "1000", "--burst", "16", "--seconds", "1"]
    best, raw = 0, []
    for rate in RATES:
        raw.append(r.flood(*words, "--rate", str(rate)))
        got = relayed(raw[-1]) / raw[-1]["seconds"] if "seconds" in raw[-1] else 0
        best = max(best, got)
        if got < 0.8 * rate:
            break
    raw.append(r.flood(*words))
    if "seconds" not in raw[-1]:
        return {"raw": raw}
    got = relayed(raw[-1]) / raw[-1]["seconds"]
    offered = raw[-1]["up_sent"] / raw[-1]["seconds"]
    best = max(best, 1)
    return {"peak kpps": best / 1000, "kpps": got / 1000, "% of peak": 100 * got / best,
            "times offered": offered / best, "raw": raw}


def livelock_load(r):
    """What comes in is polled by threads of the kernel (threaded NAPI) that share the server's core
    with it: they and the server take turns, and what nobody has time for is left in the ring."""
    if r.server.fast:  # there it is so anyway
        return overload(r)
    r.threads = r.net.threaded(True)
    try:
        return overload(r)
    finally:
        r.net.threaded(False)
        r.threads = []


def softirq_load(r):
    """What comes in is received by soft interrupts on the server's core, packet by packet and each
    to its end, before any process there runs."""
    if r.server.fast:  # XDP needs NAPI
        return {"raw": {}}
    r.net.receive_on(SERVER_CORE)
    try:
        return overload(r)
    finally:
        r.net.receive_on(None)


def allocation_load(r):
    count = 4000 if r.options.quick else 10000
    result = r.tool("alloc-rate", f"{SERVER}:{PORT}", "--user", f"{USER}:{PASSWORD}", "--count",
                    str(count))
    return {"per s": result.get("allocations_per_s"), "CPU-s/M": result.get("cpu_s_per_million"),
            "KB each": result.get("rss_kb_each"),
            "KB before": result.get("rss_kb_before"), "KB 5 s after": result.get("rss_kb_5_s_later"),
            "raw": result}


def binding_load(r):
    result = r.tool("binding-rate", f"{SERVER}:{PORT}", "--seconds", str(r.options.seconds))
    return {"per s": result.get("answers_per_s"), "CPU-s/M": result.get("cpu_s_per_million"),
            "raw": result}


def rss_kb(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS:"))


def many_load(r):
    """By several clients at a time, as one process may not have so many sockets everywhere."""
    pid, parts, each = r.server.process.pid, 8, 12500
    before = rss_kb(pid)
    tools = [subprocess.Popen(
        ["ip", "netns", "exec", r.net.c, *pinned(LOAD_CORE), BODKIN, "turn", "alloc-rate",
         f"{SERVER}:{PORT}", "--user", f"{USER}:{PASSWORD}", "--count", str(each), "--window", "16",
         "--from", MORE_CLIENTS[n % len(MORE_CLIENTS)], "--hold", "45", "--keep", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) for n in range(parts)]
    most, still, last = before, 0, None
    while still < 10 and any(t.poll() is None for t in tools):  # until it has not grown for 10 s
        time.sleep(1)
        now = rss_kb(pid)
        still = still + 1 if now == last else 0
        most, last = max(most, now), now
    results = []
    for t in tools:
        try:
            out = t.communicate(timeout=150)[0].splitlines()
        except subprocess.TimeoutExpired:
            t.kill()
            out = []
        results.append(json.loads(out[-1]) if out else {"failed": "no answer"})
    got = sum(x.get("allocated", 0) for x in results)
    return {"allocated": got, "server MB": most / 1024, "KB each": (most - before) / max(got, 1),
            "raw": results}


# What an attacker who forges the victim's address can have sent to it, per byte of his own.
SMALL = {
    "Binding": bytes.fromhex("000100002112a442") + b"abcdefghijkl",
    "Allocate": bytes.fromhex("000300082112a442") + b"abcdefghijkl" + bytes.fromhex("0019000411000000"),
    "Allocate, nothing in it": bytes.fromhex("000300002112a442") + b"abcdefghijkl",
    "ChannelData": bytes.fromhex("40000000"),
    "garbage": b"\xff" * 20,
}


def ask_small():
    """Inside the client's namespace: the answers' lengths, as one line of JSON."""
    answers = {}
    for name, request in SMALL.items():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.sendto(request, (SERVER, PORT))
            total = 0
            try:
                while True:
                    total += len(s.recv(4096)) + 28  # IPv4 and UDP
            except TimeoutError:
                pass
            answers[name] = [len(request) + 28, total]
    print(json.dumps(answers))


def amplification_load(r):
    said = json.loads(r.net.within(r.net.c, sys.executable, os.path.abspath(__file__), "--ask-small"))
    return {**{f"{name}, times": out / into for name, (into, out) in said.items()}, "raw": said}


def reload_load(r):
    """A thousand SIGHUPs within a load of 50 kpps: what is lost."""
    pid, seconds = r.server.process.pid, 10
    hups = subprocess.Popen(["sh", "-c", "sleep 1; i=0; while [ $i -lt 1000 ]; do "
                             f"kill -HUP {pid}; i=$((i + 1)); sleep 0.007; done"])
    result = r.flood("--flows", "100", "--burst", "5", "--rate", "50000", "--seconds", str(seconds))
    hups.wait()
    if "seconds" not in result:
        return {"raw": result}
    return {"lost": result["up_sent"] - result["up_relayed"], "kpps": result["up_pps"] / 1000,
            "of": result["up_sent"], "raw": result}


LOADS = {
    "one": ("1 flow, 16-packet bursts, 100 B",
            flood_load("--flows", "1", "--burst", "16", "--size", "100")),
    "frames": ("100 flows, 10-packet frames, 1200 B",
               flood_load("--flows", "100", "--burst", "10", "--size", "1200")),
    "up": ("1000 flows interleaved, 100 B, up",
           flood_load("--flows", "1000", "--burst", "1", "--size", "100", "--up")),
    "down": ("1000 flows interleaved, 100 B, down",
             flood_load("--flows", "1000", "--burst", "1", "--size", "100", "--down")),
    "paced": ("paced 40 kpps, 100 flows, single packets",
              latency_load("--flows", "100", "--burst", "1", "--rate", "40000")),
    "slow": ("1 kpps, 100 flows, single packets",
             latency_load("--flows", "100", "--burst", "1", "--rate", "1000")),
    "livelock": ("flooded, 1000 flows, polled by threads on the server's core", livelock_load),
    "softirq": ("flooded, 1000 flows, soft interrupts on the server's core", softirq_load),
    "allocate": ("allocations, long-term credentials", allocation_load),
    "binding": ("Binding", binding_load),
    "many": ("100 000 allocations live", many_load),
    "amplify": ("bytes answered per byte asked, with headers", amplification_load),
    "reload": ("1000 SIGHUPs at 50 kpps", reload_load),
}
NEEDS_TURN = ("allocate", "many", "amplify", "reload")  # what only forwards has nothing to say to
OURS = ("many", "reload")  # asked of nobody else
ONCE = ("livelock", "softirq", "many", "amplify", "reload")  # not in every round
SOME = [name for name in LOADS if name not in ("softirq", "many", "reload")]


# ---- The table ---------------------------------------------------------------------------------

def median(values):
    values = [v for v in values if v is not None]
    return statistics.median(values) if values else None


def number(value):
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def table(results, servers):
    names = [s.name for s in servers if any(s.name in r for r in results.values())]
    print("| load | figure | " + " | ".join(names) + " | coturn / bodkin |"
          " coturn / fast path |")
    print("|---|---|" + "---|" * (len(names) + 2))
    for load, by_server in results.items():
        figures = dict.fromkeys(f for rounds in by_server.values() for r in rounds for f in r)
        for figure in figures:
            if figure == "raw":
                continue
            row = {n: median([r.get(figure) for r in by_server.get(n, [])]) for n in names}
            theirs = row.get("coturn")
            ratios = [f"{theirs / row[n]:.2f}" if theirs and row.get(n) else ""
                      for n in ("bodkin", "bodkin fast path")]
            print(f"| {LOADS[load][0]} | {figure} | "
                  + " | ".join([number(row[n]) for n in names] + ratios) + " |")
    print()


# load: (figure, goal, goal with the fast path, beside whom, what that one had when the goals were set).
# A machine that is slower, or busy, is so for everybody: so the goal is a part of what another costs.
GOALS = {
    "one": ("CPU-s/M", 1.9, 1.3, "floor plain", 3.8),
    "frames": ("CPU-s/M", 2.3, None, "floor plain", 4.4),
    "up": ("CPU-s/M", 4.3, 2.0, "floor plain", 4.2),
    "down": ("CPU-s/M", 4.8, 2.0, "floor plain", 4.7),
    "paced": ("CPU-s/M", 6.0, None, "floor plain", 9.4),
    "allocate": ("CPU-s/M", 35, None, "coturn", 105),
    "binding": ("CPU-s/M", 4.2, None, "coturn", 5.7),
}


def goals(results):
    print("| load | beside | its figure then, now | goal then, now | bodkin | goal, fast path | fast path |")
    print("|---|---|---|---|---|---|---|")
    for load, (figure, plain, fast, other, then) in GOALS.items():
        by = results.get(load, {})
        now = median([r.get(figure) for r in by.get(other, [])])
        if now is None:
            continue
        cells = []
        for goal, name in ((plain, "bodkin"), (fast, "bodkin fast path")):
            ours = median([r.get(figure) for r in by.get(name, [])])
            limit = goal * now / then if goal else None
            verdict = "" if not limit or not ours else " met" if ours <= limit else " **missed**"
            cells.append(f"{goal or '–'}, {number(limit)} | {number(ours)}{verdict}")
        print(f"| {LOADS[load][0]} | {other} | {then}, {number(now)} | " + " | ".join(cells) + " |")
    print()


def failures(results):
    for load, by_server in results.items():
        for name, rounds in by_server.items():
            texts = set()
            for r in rounds:
                raws = r["raw"] if isinstance(r["raw"], list) else [r["raw"]]
                texts |= {x["failed"] for x in raws if "failed" in x}
            for text in sorted(texts):
                print(f"failed: {name}: {LOADS[load][0]}: {text}")


def build_floor(folder):
    source = os.path.join(TOP, "bench", "tools", "turn_floor.c")
    out = os.path.join(folder, "turn_floor")
    made = subprocess.run([os.environ.get("CC", "cc"), "-std=gnu17", "-O2", "-o", out, source],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        print("no floor:", made.stderr.strip()[-300:], file=sys.stderr)
        return None
    return out


def is_asked(server, load, turn):
    """The floor answers a Binding request as it answers everything, with a bare yes."""
    return not ((load in NEEDS_TURN and not server.turn) or (load in ONCE and turn > 0)
                or (load in OURS and server.name != "bodkin"))


def run_one(options, net, folder, server, load):
    """None: it does not start."""
    threads = net.threaded(True) if server.fast else []  # before it looks at them
    try:
        if not server.start(net, folder, load):
            return None
        run = Run(net, server, options, folder)
        run.threads = threads
        return LOADS[load][1](run)
    finally:
        if server.fast:
            net.threaded(False)
        server.stop()


def run_round(options, net, folder, n, servers, dead, results):
    for server in servers:
        for load in options.loads:
            if server.name in dead or not is_asked(server, load, n):
                continue
            begun = time.monotonic()
            figures = run_one(options, net, folder, server, load)
            if figures is None:
                print(f"skipped: {server.name} does not start; {folder} has its log")
                dead.add(server.name)
                continue
            results[load].setdefault(server.name, []).append(figures)
            print(f"round {n + 1}: {server.name}: {load}: {time.monotonic() - begun:.0f} s",
                  file=sys.stderr)


def run_all(options, net, folder):
    servers = [s for s in all_servers(build_floor(folder)) if s.name in options.servers
               or not options.servers]
    results = {load: {} for load in options.loads}
    dead, begun, longest, n = set(), time.monotonic(), 0, 0
    while n < options.rounds and (time.monotonic() - begun + longest) / 60 < options.minutes:
        at = time.monotonic()
        run_round(options, net, folder, n, servers, dead, results)
        longest = max(longest, time.monotonic() - at) if n > 0 else 0  # the first has more to do
        n += 1
    for s in servers:
        print(f"- {s.name}: {s.note}" + (" (does not start)" if s.name in dead else ""))
    print(f"\n{n} rounds in {(time.monotonic() - begun) / 60:.0f} minutes, "
          f"load {os.getloadavg()[0]:.1f} at their end\n")
    table(results, servers)
    goals(results)
    failures(results)
    return results


def arguments():
    parser = argparse.ArgumentParser(description="What a TURN server costs, beside others.")
    parser.add_argument("--quick", action="store_true", default="QUICK" in os.environ,
                        help="one round, two minutes in all")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--minutes", type=float, default=30,
                        help="no round is begun that would not end by then (30)")
    parser.add_argument("--json", help="all results, for whoever wants more than a table")
    parser.add_argument("--servers", default="", help="names, separated by commas")
    parser.add_argument("--realtime", action="store_true",
                        help="go before whatever else runs here, which stands still meanwhile")
    parser.add_argument("--keep", help="a folder for logs, instead of a temporary one")
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=", ".join(LOADS))
    options = parser.parse_args()
    if unknown := [x for x in options.loads if x not in LOADS]:
        parser.error(f"no load {unknown[0]}: {', '.join(LOADS)}")
    options.loads = options.loads or (SOME if options.quick else list(LOADS))
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 4)
    options.servers = [s for s in options.servers.split(",") if s]
    if options.realtime:
        REALTIME.append(True)
    return options


def main():
    if "--ask-small" in sys.argv:
        return ask_small()
    options = arguments()
    if os.geteuid() != 0:
        print("SKIPPED: network namespaces need root")
        return 77
    if (os.cpu_count() or 1) < 2:
        print("SKIPPED: one core for the server and one for its load are needed")
        return 77
    with tempfile.TemporaryDirectory(prefix="bodkin-turn.") as folder, Network() as net:
        folder = options.keep or folder
        os.makedirs(folder, exist_ok=True)
        print(f"TURN, {options.rounds} rounds of {options.seconds} s; {socket.gethostname()}, "
              f"{os.cpu_count()} cores, Linux {os.uname().release}, load {os.getloadavg()[0]:.1f}\n")
        results = run_all(options, net, folder)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump(results, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
