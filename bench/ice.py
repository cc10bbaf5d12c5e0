#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How fast ICE connects: `bodkin ice` beside libnice and aioice, in the same networks, one after the
other. Real programs in the lab's namespaces, delay and loss and NATs by the lab, coturn as STUN and
TURN server; 20 ms to the server and back, 40 ms between the peers and back.

    bench/ice.py [--runs N] [--others N] [--peers us,libnice,aioice] [--json FILE] [SCENARIO...]

Milliseconds from creating the agents, the slower side: connected (data can be sent), nominated (the
pair is final). Signalling takes no time but this program's. Trickle: candidates are carried as they
come; full: when all of a side's are there. Memory is what the agent adds to the idle program, CPU
and packets are those of both sides until it is nominated. BODKIN is the program; 77: no labs here."""

import argparse
import asyncio
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PEERS = os.path.join(TOP, "tests", "interop", "ice")
sys.path.insert(0, PEERS)
import lines  # noqa: E402

SERVER = "198.51.100.10"
USER, PASSWORD = "bench", "bench"
STUN = (f"stun:{SERVER}:3478",)
TURN = (f"turn:{SERVER}:3478", USER, PASSWORD)
TRACE = os.environ.get("TRACE")  # a file for our agents' decisions
PATIENCE = 10  # seconds for one run
GIVE_UP = 3    # failures in a row end a cell: it is known not to work

LAN = """
[nat ra]
public = 203.0.113.1
inside = 192.168.1.1/24
preset = home
[host a]
behind = ra
address = 192.168.1.10
[host b]
behind = ra
address = 192.168.1.20
"""

WAN = """
[nat ra]
public = 203.0.113.1
inside = 192.168.1.1/24
preset = {nat}
delay = 10ms
loss = {loss}%
[nat rb]
public = 203.0.113.2
inside = 192.168.2.1/24
preset = {nat}
delay = 10ms
loss = {loss}%
[host a]
behind = ra
address = 192.168.1.10
[host b]
behind = rb
address = 192.168.2.10
[host s]
address = 198.51.100.10
"""


class Scenario:
    def __init__(self, name, title, trickle, nat="home", loss=0, servers=(), dead=0, goal=(),
                 lan=False, policy="all"):
        self.name, self.title, self.trickle, self.servers = name, title, trickle, servers
        self.dead, self.goal, self.lan, self.policy = dead, goal, lan, policy
        self.topology = LAN if lan else WAN.format(nat=nat, loss=loss)

    def has_full(self):
        """Is the same measured in full mode as well?"""
        return any(s.name == self.name + "-full" for s in SCENARIOS)


# `goal`: milliseconds, (quantile, event) each
SCENARIOS = [
    Scenario("lan-full", "LAN, full", False, lan=True),
    Scenario("lan", "LAN, trickle", True, lan=True, goal=((50, "connected", 2),)),
    Scenario("stun-full", "NAT-NAT, STUN, full", False, servers=(STUN,)),
    Scenario("stun", "NAT-NAT, STUN, trickle", True, servers=(STUN,),
             goal=((50, "connected", 65), (50, "nominated", 110))),
    Scenario("turn-full", "NAT-NAT, STUN + TURN, full", False, servers=(STUN, TURN)),
    Scenario("turn", "NAT-NAT, STUN + TURN, trickle", True, servers=(STUN, TURN)),
    Scenario("symmetric-full", "symmetric both, relay, full", False, nat="symmetric",
             servers=(STUN, TURN)),
    Scenario("symmetric", "symmetric both, relay, trickle", True, nat="symmetric",
             servers=(STUN, TURN), goal=((50, "connected", 110),)),
    Scenario("relay", "relay only, trickle", True, servers=(TURN,), policy="relay",
             goal=((50, "connected", 110),)),
    Scenario("dead-4", "NAT-NAT, STUN + TURN, 4 dead interfaces", True, servers=(STUN, TURN),
             dead=4),
    Scenario("dead-16", "NAT-NAT, STUN + TURN, 16 dead interfaces", True, servers=(STUN, TURN),
             dead=16, goal=((50, "connected", 125), (50, "nominated", 170))),
    Scenario("loss-5", "NAT-NAT, STUN, 5 % loss per hop", True, loss=5, servers=(STUN,),
             goal=((95, "connected", 1000),)),
    Scenario("loss-20", "NAT-NAT, STUN, 20 % loss per hop", True, loss=20, servers=(STUN,),
             goal=((100, "connected", 10000),)),
]


def bodkin():
    program = os.environ.get("BODKIN")
    if not program:
        sys.exit("BODKIN is the path of the program")
    return program


class Lab:
    """One running lab, with the server's coturn and the dead interfaces in it."""

    def __init__(self, scenario, folder):
        self.scenario, self.folder, self.name = scenario, folder, "bench-" + scenario.name
        self.program = os.environ.get("LAB_BODKIN", bodkin())
        self.processes = []

    def within(self, host):
        return [self.program, "lab", "exec", "--lab", self.name, host]

    def _start(self, argv, log):
        with open(os.path.join(self.folder, log), "wb") as file:
            process = subprocess.Popen(argv, stdout=file, stderr=file, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def __enter__(self):
        path = os.path.join(self.folder, self.scenario.name + ".lab")
        with open(path, "w", encoding="utf-8") as file:
            file.write("[lab]\nseed = 1\n" + self.scenario.topology)
        lab = self._start([self.program, "lab", "run", "--keep", "--quiet", "--name", self.name,
                           path], "lab.log")
        until = time.monotonic() + 10
        while subprocess.call(self.within("a") + ["true"], stderr=subprocess.DEVNULL) != 0:
            if lab.poll() is not None or time.monotonic() > until:
                with open(os.path.join(self.folder, "lab.log"), encoding="utf-8") as file:
                    print(file.read().strip() or "the lab did not start", file=sys.stderr)
                self.__exit__()
                sys.exit(77 if lab.returncode == 77 else 1)
            time.sleep(0.05)
        if self.scenario.servers:
            self._serve()
        for host, net in (("a", 98), ("b", 99)):
            for i in range(self.scenario.dead):
                self._add_dead(host, net, i)
        return self

    def _serve(self):
        self._start(self.within("s") + [
            "turnserver", "-n", "-m", "1", "--log-file", "stdout", "--simple-log", "--no-cli",
            "--no-tls", "--no-dtls", "--listening-ip", SERVER, "--relay-ip", SERVER, "--pidfile",
            os.path.join(self.folder, "turn.pid"), "--lt-cred-mech", "--realm", "bench", "--user",
            f"{USER}:{PASSWORD}", "--db", os.path.join(self.folder, "turn.db")], "turn.log")
        time.sleep(1)

    def _add_dead(self, host, net, i):
        """An interface that is up, has an address and a route, and swallows everything."""
        table, address = str(100 + i), f"10.{net}.{i}.1"
        script = (f"set -e; ip link add dead{i} type veth peer name far{i}\n"
                  f"ip link set dead{i} addrgenmode none; ip link set far{i} addrgenmode none\n"
                  f"ip addr add {address}/24 dev dead{i}\n"
                  f"ip link set dead{i} arp off up; ip link set far{i} arp off up\n"
                  f"ip rule add from {address} lookup {table}\n"
                  f"ip route add default dev dead{i} table {table}")
        subprocess.check_call(self.within(host) + ["sh", "-c", script])

    def __exit__(self, *_):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


# ---- The programs ------------------------------------------------------------------------------

# how each says that the pair is final: (word, what is in the rest of the line)
NOMINATED = {"us": ("selected", None), "libnice": ("state", "ready"),
             "aioice": ("connected", None)}


def commands(folder):
    """name -> argv, or a text saying why it cannot be run."""
    found = {"us": [bodkin(), "ice", "--protocol"],
             "libnice": [os.path.join(folder, "peer_nice")],
             "aioice": ["/usr/bin/python3", os.path.join(PEERS, "peer_aioice.py")]}
    built = subprocess.run([os.path.join(PEERS, "build.sh"), folder], capture_output=True,
                           text=True, check=False)
    if built.returncode != 0:
        found["libnice"] = built.stdout.strip() or "it does not build"
    if subprocess.call(["/usr/bin/python3", "-c", "import aioice"], stderr=subprocess.DEVNULL) != 0:
        found["aioice"] = "no python3-aioice"
    return found


class Use:
    """What a process has used so far: CPU, memory, packets of its namespace."""

    def __init__(self, pid):
        with open(f"/proc/{pid}/schedstat", encoding="utf-8") as file:
            self.cpu_ms = int(file.read().split()[0]) / 1e6
        with open(f"/proc/{pid}/status", encoding="utf-8") as file:
            self.rss_kb = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
        self.sent = 0
        with open(f"/proc/{pid}/net/dev", encoding="utf-8") as file:
            for line in file.readlines()[2:]:
                name, _, numbers = line.partition(":")
                if not name.strip().startswith(("lo", "far")):
                    self.sent += int(numbers.split()[9])

    def since(self, before):
        return {"cpu_ms": self.cpu_ms - before.cpu_ms, "rss_kb": self.rss_kb - before.rss_kb,
                "sent": self.sent - before.sent}


def cross(a, b, trickle):
    """Carries a's words to b; in full mode only when all are there, credentials first."""
    head, candidates = [], []

    def carry(word, held):
        def one(args):
            if trickle:
                b.tell(f"remote-{word} {args}")
            else:
                held.append(f"remote-{word} {args}")
        return one

    def gathered(_args):
        for line in head + candidates:
            b.tell(line)
        head.clear()
        candidates.clear()
        b.tell("end-of-candidates")

    a.handlers.update({"options": carry("options", head), "gathered": gathered,  # options: ours alone
                       "credentials": carry("credentials", head),
                       "candidate": carry("candidate", candidates)})


async def ready(peer):
    """The program reads its input: it complains of a word."""
    peer.tell("hello")
    await peer.wait("error", PATIENCE)


async def measure(peers, names, scenario):
    for peer in peers:
        await ready(peer)
    before = [Use(peer.process.pid) for peer in peers]
    cross(peers[0], peers[1], scenario.trickle)
    cross(peers[1], peers[0], scenario.trickle)
    lines.begin(peers[0], "controlling", scenario.servers, scenario.policy)
    lines.begin(peers[1], "controlled", scenario.servers, scenario.policy)
    result = {"connected": 0.0, "nominated": 0.0}
    until = time.monotonic() + PATIENCE
    for peer, name in zip(peers, names):
        word, text = NOMINATED[name]
        for what, args in (("connected", ("connected", None)), ("nominated", (word, text))):
            at = await peer.wait(args[0], max(until - time.monotonic(), 0.001), args[1])
            begun = peer.events[peer.found("state", "creating")][0]
            result[what] = max(result[what], (peer.events[at][0] - begun) / 1000)
    result["nominated"] = max(result["nominated"], result["connected"])
    used = [Use(peer.process.pid).since(b) for peer, b in zip(peers, before)]
    result["cpu_ms"] = sum(u["cpu_ms"] for u in used)
    result["rss_kb"] = max(u["rss_kb"] for u in used)
    result["sent"] = sum(u["sent"] for u in used)
    result["path"] = peers[0].last("selected")
    return result


async def one_run(lab, argv, name, log):
    peers = []
    errors = open(TRACE, "ab") if TRACE and name == "us" else None
    try:
        for host in ("a", "b"):
            peers.append(await lines.start(host, argv + ["--trace"] if errors else argv,
                                           within=lab.within(host), log=log, errors=errors))
        return await measure(peers, [name, name], lab.scenario)
    except lines.Silence as e:
        return {"failed": str(e)}
    finally:
        for peer in peers:
            await peer.end()
        if errors:
            errors.close()


async def cell(lab, argv, name, runs, log):
    results, in_a_row = [], 0
    for i in range(runs):
        log.write(f"--- {lab.scenario.name} {name} run {i}\n")
        result = await one_run(lab, argv, name, log)
        results.append(result)
        in_a_row = in_a_row + 1 if "failed" in result else 0
        show_progress(f"{lab.scenario.name} {name} {i + 1}/{runs}")
        if in_a_row == GIVE_UP:
            break
    return results


# ---- The table ---------------------------------------------------------------------------------

def show_progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)


def quantile(values, percent):
    """Of sorted values, the smallest that so many percent do not exceed."""
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def number(value):
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def spread(values):
    values = sorted(values)
    return " / ".join(number(quantile(values, p)) for p in (50, 95, 99))


def connected(results):
    """The median, or None."""
    good = sorted(r["connected"] for r in results if "failed" not in r)
    return quantile(good, 50) if good else None


def row(title, name, results, ours):
    good = [r for r in results if "failed" not in r]
    failures = f"{len(results) - len(good)} of {len(results)}"
    if not good:
        return f"| {title} | {name} | {failures} | - | - | - | - | - | - |"
    ratio = "" if name == "us" or not ours else number(connected(results) / ours)
    middle = {k: quantile(sorted(r[k] for r in good), 50) for k in ("sent", "cpu_ms", "rss_kb")}
    return (f"| {title} | {name} | {failures} | {spread([r['connected'] for r in good])} | "
            f"{spread([r['nominated'] for r in good])} | {middle['sent']} | "
            f"{number(middle['cpu_ms'])} | {middle['rss_kb']} | {ratio} |")


def missed(scenario, results):
    """Goals of the scenario that our results miss, as texts."""
    good = [r for r in results if "failed" not in r]
    if len(good) < len(results):
        yield f"{scenario.name}: {len(results) - len(good)} failures"
    for percent, event, limit in scenario.goal:
        values = sorted(r[event] for r in good)
        if values and quantile(values, percent) > limit:
            yield (f"{scenario.name}: {event} p{percent} is {number(quantile(values, percent))} ms, "
                   f"the goal {limit}")


HEAD = """| | | failures | connected, ms: p50 / p95 / p99 | nominated, ms | packets | CPU ms | KB | times ours |
|---|---|---|---|---|---|---|---|---|"""


async def run_all(options, folder, log):
    programs, everything, misses, reasons = commands(folder), {}, [], collections.Counter()
    for name in options.peers:
        if isinstance(programs[name], str):
            print(f"skipped: {name}: {programs[name]}")
    print(HEAD)
    for scenario in options.scenarios:
        with Lab(scenario, folder) as lab:
            for name in options.peers:
                if isinstance(programs[name], str) or (name == "aioice" and scenario.has_full()):
                    continue  # aioice does not trickle
                runs = options.runs if name == "us" else options.others
                results = await cell(lab, programs[name], name, runs, log)
                everything[f"{scenario.name} {name}"] = results
                reasons.update(f"{scenario.name}: {name}: {r['failed']}" for r in results
                               if "failed" in r)
                show_progress("")
                ours = connected(everything.get(f"{scenario.name} us", []))
                print(row(scenario.title, name, results, ours), flush=True)
                if name == "us":
                    misses += missed(scenario, results)
    print()
    for text, times in sorted(reasons.items()):
        print(f"{times} times {text}")
    return everything, misses


def arguments():
    names = [s.name for s in SCENARIOS]
    parser = argparse.ArgumentParser(description="How fast ICE connects, beside others.")
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS", 20)))
    parser.add_argument("--others", type=int, help="runs of the others; half as many, 50 at most")
    parser.add_argument("--peers", default="us,libnice,aioice")
    parser.add_argument("--json", help="all results, for whoever wants more than a table")
    parser.add_argument("--log", default=os.devnull, help="every line that was carried")
    parser.add_argument("scenario", nargs="*", metavar="SCENARIO", help=", ".join(names))
    options = parser.parse_args()
    options.others = options.others or min(max(options.runs // 2, 1), 50)
    options.peers = options.peers.split(",")
    if unknown := [s for s in options.scenario if s not in names]:
        parser.error(f"no scenario {unknown[0]}: {', '.join(names)}")
    options.scenarios = [s for s in SCENARIOS if not options.scenario or s.name in options.scenario]
    return options


def main():
    options = arguments()
    with tempfile.TemporaryDirectory(prefix="bodkin-ice.") as folder:
        os.environ["XDG_RUNTIME_DIR"] = folder
        print(f"ICE set-up, {options.runs} runs of ours and {options.others} of each other; load "
              f"{os.getloadavg()[0]:.1f}\n")
        with open(options.log, "w", encoding="utf-8") as log:
            everything, misses = asyncio.run(run_all(options, folder, log))
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(everything, file, indent=1)
    for text in misses:
        print("missed:", text)
    if not misses and "us" in options.peers:
        print("all goals are met")
    return 1 if misses else 0


sys.exit(main())
