#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin ice` with everyone else's ICE: each peer offering and answering, in each network of lab.py.

    matrix.py [--write FILE] [--hold SECONDS] [--at-once N] [--log DIR] [--only WORD]...

A run: connect, data both ways, hold (consent must last, RFC 7675: 30 s), data again, and a restart
where the peer has one, with data after it. `--only` takes the rows whose name contains a WORD.
BODKIN is the program, PEERS the folder with peer_nice, NODE_PATH where playwright-core is.
Ends with 1 when a cell failed.
"""
import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time

import lab
import lines
from lab import kernel_nat

HERE = os.path.dirname(os.path.abspath(__file__))
BODKIN = os.environ.get("BODKIN", os.path.join(HERE, "..", "..", "..", "build/release/bodkin"))
PEERS = os.environ.get("PEERS", "/nowhere")
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules

SERVERS = [(f"stun:{lab.SERVER}:3478",),
           (f"turn:{lab.SERVER}:3478", lab.USER, lab.PASSWORD)]
NETWORKS = {  # name: (NATs, policy)
    "direct": (None, "all"),
    "direct, IPv6": (None, "all"),  # and nothing else: no IPv4, no servers
    "NATs": ("prc", "all"),
    "relay only": ("prc", "relay"),
}


def turn(uri):
    """Servers: this one alone."""
    return [(uri.format(lab.SERVER), lab.USER, lab.PASSWORD)]


OVER_TCP, OVER_TLS = turn("turn:{}:3478?transport=tcp"), turn("turns:{}:5349?transport=tcp")


class Kind:
    """A peer: how it is started, and what it can."""

    def __init__(self, name, argv, us=(), restart=False, sends=True, tells=True,
                 networks=tuple(NETWORKS), servers=(SERVERS, SERVERS), note=""):
        self.name, self.argv, self.us = name, argv, list(us)
        self.restart = restart  # has ICE restarts
        self.sends = sends      # can send text; else its DTLS is awaited
        self.tells = tells      # tells what it received: "text", or the count: "bytes", or nothing
        self.networks, self.note = networks, note
        self.servers = servers  # ours, its


KINDS = [
    Kind("bodkin", [BODKIN, "ice", "--protocol"], restart=True),
    Kind("libnice", [os.path.join(PEERS, "peer_nice")], restart=True),
    Kind("libnice, aggressive nomination", [os.path.join(PEERS, "peer_nice"), "--aggressive"],
         restart=True, networks=("direct", "NATs")),
    Kind("aioice", [PYTHON, os.path.join(HERE, "peer_aioice.py")], note="no restart in it"),
    Kind("aiortc", [PYTHON, os.path.join(HERE, "peer_aiortc.py")],
         note="no restart and no relay-only in it: there only we are relayed"),
    Kind("Chromium", ["node", os.path.join(HERE, "peer_chromium.js")], restart=True, sends=False,
         tells="bytes", note="data to it is counted by its statistics, data from it is its DTLS"),
    Kind("Chromium, mDNS names", ["node", os.path.join(HERE, "peer_chromium.js"), "--mdns"],
         restart=True, sends=False, tells="bytes", networks=("direct", "NATs"),
         note="its host candidates are names, which our side cannot resolve across a router"),
    Kind("webrtcbin", [PYTHON, os.path.join(HERE, "peer_gst.py")], sends=False, tells="nothing",
         note="GStreamer's; no restart in this version, data from it is its DTLS"),
    Kind("libnice, TCP", [os.path.join(PEERS, "peer_nice"), "--tcp"], us=["--tcp"],
         restart=True, networks=("direct", "NATs"), note="both with TCP candidates as well"),
    Kind("libnice, our TURN over TCP", [os.path.join(PEERS, "peer_nice")], restart=True,
         networks=("relay only",), servers=(OVER_TCP, SERVERS)),
    Kind("libnice, our TURN over TLS", [os.path.join(PEERS, "peer_nice")], us=["--insecure"],
         restart=True, networks=("relay only",), servers=(OVER_TLS, SERVERS)),
    Kind("Chromium, both TURN over TCP", ["node", os.path.join(HERE, "peer_chromium.js")],
         restart=True, sends=False, tells="bytes", networks=("relay only",),
         servers=(OVER_TCP, OVER_TCP)),
    Kind("bodkin, both TURN over TLS", [BODKIN, "ice", "--protocol", "--insecure"],
         us=["--insecure"], restart=True, networks=("relay only",), servers=(OVER_TLS, OVER_TLS)),
    Kind("libnice, us lite", [os.path.join(PEERS, "peer_nice")], us=["--lite"],
         networks=("direct",), note="an ICE-lite agent never offers to control"),
]


class Failure(Exception):
    pass


def where(peer):
    """host, srflx ...: what the ends of its selected pair are."""
    pair = peer.last("selected")
    return "-".join(end.split("/")[0] for end in pair.split(" ")) if pair else ""


class Run:
    """One cell: `us` and a peer in a network."""

    def __init__(self, kind, offers, network, options):
        self.kind, self.offers, self.network = kind, offers, network
        self.hold_s, self.logs = options.hold, options.log
        self.trace = ["--trace"] if options.trace else []
        self.result, self.ok = "", False

    def title(self):
        return f"{self.kind.name}, {'offering' if self.offers else 'answering'}, {self.network}"

    def log_path(self):
        return os.path.join(self.logs, self.title().replace(", ", "_").replace(" ", "-"))

    async def data(self, first):
        """Datagrams both ways. A peer that cannot send has only its DTLS, at the beginning."""
        token = f"from-us-{time.monotonic_ns()}"
        at = len(self.peer.events)
        self.us.tell("send " + token)
        if self.kind.tells is True:
            await self.peer.wait("data", 10, token, after=at)
        elif self.kind.tells == "bytes":
            await self.peer.wait("data", 10, after=at)
        if self.kind.sends:
            token = f"to-us-{time.monotonic_ns()}"
            self.peer.tell("send " + token)
            await self.us.wait("data", 10, token)
        elif first:
            await self.us.wait("data", 10)

    async def hold(self):
        before = [len(self.us.events), len(self.peer.events)]
        await asyncio.sleep(self.hold_s)
        for p, n in zip((self.us, self.peer), before):
            for word, args in (("failed", None), ("ended", None), ("state", "disconnected")):
                if p.found(word, args, after=n) is not None:
                    raise Failure(f"{p.name} said {word} {args or ''} within {self.hold_s:g} s")

    async def restart(self, first, second):
        n, m = len(first.events), len(second.events)
        begun = time.monotonic()
        first.tell("restart")
        await first.wait("connected", 20, after=n)
        for _ in range(80):  # a browser that is controlled moves when data comes on the new path
            if second.found("connected", after=m) is not None:
                break
            self.us.tell("send tick")
            await asyncio.sleep(0.5)
        if second.found("connected", after=m) is None:
            raise Failure(f"{second.name} found no path after the restart of {first.name}")
        await self.data(False)
        return (time.monotonic() - begun) * 1000

    async def play(self):
        us, peer, kind = self.us, self.peer, self.kind
        first, second = (peer, us) if self.offers else (us, peer)
        policy = NETWORKS[self.network][1]
        lines.cross(us, peer)
        six = self.network.endswith("IPv6")
        servers = {p: [] if six else s for p, s in zip((us, peer), kind.servers)}
        lines.begin(first, "controlling", servers[first], policy)
        lines.begin(second, "controlled", servers[second], policy)
        await us.wait("connected", 60)
        await peer.wait("connected", 60)
        await self.data(True)
        await self.hold()
        await self.data(False)
        self.result = where(us) or where(peer)
        if policy == "relay" and us.last("selected") and "relay/" not in us.last("selected"):
            raise Failure("not relayed: " + us.last("selected"))
        if kind.restart:
            await self.restart(first, second)
            self.result += ", restart"
        self.ok = True

    async def run(self, number):
        nat, _ = NETWORKS[self.network]
        log = errors = None
        if self.logs:
            log = open(self.log_path() + ".log", "w", encoding="utf8")
            errors = open(self.log_path() + ".err", "wb")
        scene = lab.Lab(f"im{os.getpid()}-{number}", nat, self.network.endswith("IPv6"))
        folder = tempfile.mkdtemp()
        try:
            await asyncio.to_thread(scene.__enter__)
            more = []
            if OVER_TLS in self.kind.servers:
                more = await asyncio.to_thread(scene.certificate, folder)
            await asyncio.to_thread(scene.turnserver, *more)
            self.us = await lines.start("us", [BODKIN, "ice", "--protocol", *self.trace, *self.kind.us],
                                        scene.within("a"), log, errors)
            self.peer = await lines.start("peer", self.kind.argv, scene.within("b"), log, errors)
            try:
                await self.play()
            finally:
                await self.us.end()
                await self.peer.end()
            if self.us.process.returncode != 0:
                raise Failure(f"bodkin ended with {self.us.process.returncode}")
        except (Failure, lines.Silence) as e:
            self.ok, self.result = False, f"FAILED: {e}"
        finally:
            await asyncio.to_thread(scene.__exit__)
            shutil.rmtree(folder)
            if log:
                log.close()
                errors.close()
        print(f"{self.title():56} {self.result}", flush=True)


def missing(kind):
    """Why this peer cannot be had here; None: it can."""
    program = kind.argv[0]
    if shutil.which(program) is None:
        return f"no {program}"
    probes = {"aioice": "import aioice", "aiortc": "import aiortc",
              "webrtcbin": "import gi; gi.require_version('GstWebRTC', '1.0')\n"
                           "from gi.repository import GstWebRTC"}
    if kind.name in probes and subprocess.run([PYTHON, "-c", probes[kind.name]],
                                              capture_output=True).returncode != 0:
        return "no Python module for it"
    if program == "node" and not (os.path.exists("/usr/bin/chromium") and subprocess.run(
            ["node", "-e", "require('playwright-core')"], capture_output=True).returncode == 0):
        return "no chromium or no playwright-core"
    return None


def version(argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout else "?"


def versions():
    package = ["dpkg-query", "-W", "-f", "${Version}"]
    return [f"- bodkin: {version([BODKIN, '--version'])}",
            f"- libnice {version([*package, 'libnice10'])}",
            f"- aioice {version([*package, 'python3-aioice'])}, "
            f"aiortc {version([*package, 'python3-aiortc'])}",
            f"- {version(['chromium', '--version'])}",
            f"- GStreamer's webrtcbin {version([*package, 'gstreamer1.0-plugins-bad'])}",
            f"- coturn {version([*package, 'coturn'])} as STUN and TURN server of both sides",
            f"- Linux {os.uname().release}, its own NATs (nftables)"]


def cell(runs, kind, offers, network):
    for r in runs:
        if (r.kind, r.offers, r.network) == (kind, offers, network):
            return r.result
    return "–"


def table(runs, absent, hold):
    rows = ["# ICE with others", "",
            "Written by `make interop` (`tests/interop/ice/matrix.py`), on "
            f"{time.strftime('%d %B %Y')}. Each cell is one run of `bodkin ice` with the peer: "
            "connected, data both ways,",
            f"consent held for {hold:g} s, data again; \"restart\": then an ICE restart by the side "
            "that offered, and data on the new path.",
            "A cell names the ends of the pair that was selected, ours first. \"NATs\": a "
            "port-restricted NAT before each side;",
            "\"relay only\": both sides may use nothing but their relays.", "",
            *versions(), "", "| peer | it | " + " | ".join(NETWORKS) + " |",
            "|---|---|" + "---|" * len(NETWORKS)]
    for kind in KINDS:
        if kind in absent:
            rows.append(f"| {kind.name} | | not run: {absent[kind]} | | |")
            continue
        for offers in (True, False):
            cells = [cell(runs, kind, offers, n) for n in NETWORKS]
            if any(c != "–" for c in cells):
                rows.append(f"| {kind.name} | {'offers' if offers else 'answers'} | " +
                            " | ".join(cells) + " |")
    rows += ["", *[f"- {k.name}: {k.note}." for k in KINDS if k.note], ""]
    return "\n".join(rows)


def plan(options, kinds):
    for kind in kinds:
        for network in kind.networks:
            for offers in (True, False):
                if offers or "--lite" not in kind.us:
                    yield Run(kind, offers, network, options)


async def play_all(runs, at_once):
    gate = asyncio.Semaphore(at_once)

    async def one(number, r):
        async with gate:
            await r.run(number)
    await asyncio.gather(*(one(n, r) for n, r in enumerate(runs)))


def rest_of_page(path):
    """What tests/interop/turn has written below our table."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf8") as f:
        _, heading, rest = f.read().partition("\n# TURN clients")
    return heading + rest


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write")
    parser.add_argument("--hold", type=float, default=36)
    parser.add_argument("--at-once", type=int, default=12)
    parser.add_argument("--log")
    parser.add_argument("--trace", action="store_true", help="ours, to the log folder")
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    if options.log:
        os.makedirs(options.log, exist_ok=True)
    kernel_nat.need()
    if not shutil.which("turnserver"):
        print("skipped: no turnserver")
        sys.exit(77)
    kinds = [k for k in KINDS if not options.only or any(w in k.name for w in options.only)]
    absent = {k: why for k in kinds if (why := missing(k))}
    for kind, why in absent.items():
        print(f"{kind.name:56} not run: {why}")
    runs = list(plan(options, [k for k in kinds if k not in absent]))
    asyncio.run(play_all(runs, options.at_once))
    bad = [r for r in runs if not r.ok]
    print(f"{len(runs) - len(bad)} of {len(runs)} passed")
    if options.write:
        others = rest_of_page(options.write)
        with open(options.write, "w", encoding="utf8") as f:
            f.write(table(runs, absent, options.hold) + others)
    sys.exit(1 if bad or not runs else 0)


if __name__ == "__main__":
    main()
