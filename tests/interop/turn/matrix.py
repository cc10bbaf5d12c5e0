#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TURN clients that nobody here wrote against `bodkin serve`: every mode of coturn's turnutils_uclient,
its STUN tools, libnice, aioice, Chromium with iceTransportPolicy "relay". And `bodkin turn` against coturn.

    matrix.py [--write FILE] [--failures FILE] [--only WORD]...

The modes of uclient run on loopback, also against coturn itself, so that what the tool cannot do is
told from what a server cannot. The ICE agents and the browser run in namespaces, two of them with
nothing but relays on the same server. A mode passes when every message came back and the server lives.
BODKIN is the program, PEERS the folder with peer_nice, NODE_PATH where playwright-core is.
Ends with 1 when something failed."""
import argparse
import asyncio
import base64
import datetime
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..", "..")
sys.path.insert(0, os.path.join(HERE, "..", "ice"))
import lines  # noqa: E402

BODKIN = os.environ.get("BODKIN", os.path.join(TOP, "build/release/bodkin"))
PEERS = os.environ.get("PEERS", "/nowhere")
PYTHON = "/usr/bin/python3"  # Debian's, which has Debian's modules
USER, PASSWORD, SECRET = "george", "secret", "north-and-south"
# The test keys of turnutils_uclient, as in coturn's testsqldbsetup.sql; without the newline at the end of
# each there, which is beyond the keys' lengths.
TOKEN_KEYS = {
    "north": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    "union": "MTIzNDU2Nzg5MDEyMzQ1Ng==",
    "oldempire": "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI=",
}
HEADING = "# TURN clients of others"


# ---- Servers -----------------------------------------------------------------------------------

class Server:
    """One of the two, on `addresses`; ports from `port` on: STUN and TURN, the second one of RFC
    5780, HTTPS, the echoing peer (two), TLS and DTLS."""

    def __init__(self, kind, folder, addresses, port, within=(), more=()):
        self.kind, self.folder, self.addresses, self.port = kind, folder, addresses, port
        self.within, self.process, self.logged = list(within), None, 0
        self.more = list(more)
        self.log = os.path.join(folder, kind + ".log")

    def argv(self):
        if self.kind == "coturn":
            words = [f"--{n}={v}" for n, v in (("pidfile", f"{self.folder}/pid"), (
                "db", f"{self.folder}/db"), ("log-file", "stdout"), ("cert", f"{self.folder}/c.pem"),
                ("pkey", f"{self.folder}/k.pem"), ("min-port", 42000), ("max-port", 48000))]
            for a in self.addresses:
                words += ["-L", a, "-E", a]
            return ["turnserver", "-n", "-p", str(self.port), "--tls-listening-port",
                    str(self.port + 6), "--no-cli", "--lt-cred-mech", "-u", f"{USER}:{PASSWORD}",
                    "-r", "bodkin", "--allow-loopback-peers", "--mobility", "--simple-log", *words, *self.more]
        words = []
        for a in self.addresses:
            words += ["--listen", a, "--relay-address", a]
        for kid, key in TOKEN_KEYS.items():
            words += ["--turn-token-key", f"{kid}:{key}"]
        return [BODKIN, "serve", "--stun", str(self.port), "--turns", str(self.port + 6), "--https",
                str(self.port + 2), "--state", self.folder, "--name", "localhost", "--realm", "bodkin",
                "--turn-user", f"{USER}:{PASSWORD}", "--turn-secret", SECRET, "--throttle", "0",
                "--address-allocations-max", "0", "--user-allocations-max", "0",
                "--allow-peer", "127.0.0.0/8", "--allow-peer", "::1/128", *words]

    def start(self):
        with open(self.log, "ab") as log:
            self.logged = log.tell()
            self.process = subprocess.Popen(self.within + self.argv(), stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.folder)
        until = time.monotonic() + 20
        while not self.is_ready():
            if not self.alive() or time.monotonic() > until:
                with open(self.log, encoding="utf8", errors="replace") as f:
                    print(f"{self.kind} does not start:", f.read()[-600:])
                return False
            time.sleep(0.1)
        return True

    def is_ready(self):
        """Ports that are open may not be served yet."""
        if self.kind == "coturn":
            return self.listens()
        with open(self.log, encoding="utf8", errors="replace") as log:
            return " ready " in log.read()[self.logged:]

    def listens(self):
        text = subprocess.run(self.within + ["cat", "/proc/net/udp"], capture_output=True, text=True,
                              check=False).stdout
        return f":{self.port:04X} " in text

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """False: it did not end as it should (a sanitizer's complaint, say)."""
        if not self.alive():
            return False
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(10) in (0, 143, -15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False


def free_ports(count):
    """The first of so many neighbouring ports that nobody has, UDP and TCP."""
    for base in range(20000 + os.getpid() % 8000, 40000, count):
        held = []
        try:
            for port in range(base, base + count):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    held.append(socket.socket(socket.AF_INET, kind))
                    held[-1].bind((V4, port))
            return base
        except OSError:
            continue
        finally:
            for s in held:
                s.close()
    sys.exit("no free ports")


# ---- turnutils_uclient -------------------------------------------------------------------------

class Mode:
    def __init__(self, name, *options, peer=None, over="127.0.0.1", secure=False, messages=80,
                 coturn=True, user=True, all_back=True, survive=False):
        self.name, self.options, self.peer, self.over = name, list(options), peer, over
        self.secure, self.messages, self.coturn, self.user = secure, messages, coturn, user
        self.all_back = all_back  # every message must come back
        self.survive = survive    # what counts is that the server serves the next client


V4, V6 = "127.0.0.1", "::1"
MODES = [
    Mode("UDP, channels", peer=V4),
    Mode("UDP, Send indications", "-s", peer=V4),
    Mode("UDP, client to client", "-y"),
    Mode("UDP, padded channels", "-D", "-y"),
    Mode("UDP, DONT-FRAGMENT", "-g", peer=V4),
    Mode("UDP, extra requests", "-G", "-y"),
    Mode("UDP, time-limited credentials", "-W", SECRET, peer=V4, coturn=False, user=False),
    Mode("UDP, OAuth tokens", "-J", peer=V4, coturn=False),
    Mode("UDP, mobility", "-M", "-y"),
    Mode("UDP, mobility, Send indications", "-M", "-s", peer=V4),
    Mode("UDP, negative tests", "-N", "-y"),
    Mode("UDP, negative protocol tests", "-R", "-y", all_back=False, survive=True),
    Mode("UDP, DoS: connect and exit", "-O", "-y", all_back=False, survive=True),
    Mode("UDP, random disconnects", "-B", "-y", all_back=False, survive=True),
    Mode("UDP, 1200-byte messages", "-l", "1200", peer=V4),
    Mode("TCP", "-t", peer=V4),
    Mode("TCP, Send indications", "-t", "-s", peer=V4),
    Mode("TCP, client to client", "-t", "-y"),
    Mode("TCP, mobility", "-t", "-M", "-y"),
    Mode("TCP, negative tests", "-t", "-N", "-y"),
    Mode("TCP, negative protocol tests", "-t", "-R", "-y", all_back=False, survive=True),
    Mode("TCP, DoS: connect and exit", "-t", "-O", "-y", all_back=False, survive=True),
    Mode("TCP, random disconnects", "-t", "-B", "-y", all_back=False, survive=True),
    Mode("TLS", "-t", "-S", peer=V4, secure=True),
    Mode("TLS, client to client", "-t", "-S", "-y", secure=True),
    Mode("TLS, mobility", "-t", "-S", "-M", "-y", secure=True),
    Mode("TLS, DoS: connect and exit", "-t", "-S", "-O", "-y", secure=True, all_back=False,
         survive=True),
    Mode("DTLS", "-S", peer=V4, secure=True),
    Mode("DTLS, client to client", "-S", "-y", secure=True),
    Mode("DTLS, Send indications", "-S", "-s", peer=V4, secure=True),
    Mode("DTLS, DoS: connect and exit", "-S", "-O", "-y", secure=True, all_back=False, survive=True),
    Mode("DTLS, random disconnects", "-S", "-B", "-y", secure=True, all_back=False, survive=True),
    Mode("TCP relay (RFC 6062)", "-T"),
    Mode("TCP relay, passive", "-T", "-P"),
    Mode("TCP relay over TLS", "-T", "-S", secure=True),
    Mode("TCP relay, passive, over TLS", "-T", "-P", "-S", secure=True),
    Mode("IPv6 relay", "-x", peer=V6),
    Mode("IPv6 relay, TCP", "-t", "-x", peer=V6),
    Mode("IPv6 relay, over IPv6", "-x", "-y", over=V6),
    Mode("IPv4 relay, over IPv6", "-X", peer=V4, over=V6),
    Mode("IPv6 relay, over TLS and IPv6", "-t", "-S", "-x", "-y", over=V6, secure=True),
    Mode("IPv6 relay, over DTLS", "-S", "-x", peer=V6, secure=True),
    Mode("TCP relay, over IPv6", "-T", "-x", over=V6),
    Mode("both families", "-Z", peer=V4),
    Mode("both families, IPv6 peer", "-Z", peer=V6),
    Mode("both families, TCP", "-t", "-Z", peer=V4),
]


def uclient(mode, server):
    argv = ["turnutils_uclient", "-p", str(server.port + (6 if mode.secure else 0)), "-r",
            str(server.port + 3), "-n", "20", "-z", "10", "-m", "4"]
    argv += ["-u", USER]
    if mode.user:
        argv += ["-w", PASSWORD]
    if mode.peer:
        argv += ["-e", mode.peer]
    return argv + mode.options + [mode.over]


def environment(mode, folder):
    """DTLS modes: with dtls12.c before them."""
    if not mode.secure or "-t" in mode.options or "-T" in mode.options:
        return None
    shim = os.path.join(folder, "dtls12.so")
    if not os.path.exists(shim):
        subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", shim,
                        os.path.join(HERE, "dtls12.c")], check=True)
    return {**os.environ, "LD_PRELOAD": shim}


def last_words(text):
    keep = [x for x in text.splitlines() if re.search(r"rror|ailed|annot|refus|lost|tot_send_msgs", x)]
    line = (keep or text.splitlines() or ["nothing"])[-1]
    return re.sub(r"^\d+: (\(\d+\): )?(ERROR: |INFO: )?", "", line).strip()


def run_mode(mode, server):
    """(passed, words, command)"""
    argv = uclient(mode, server)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60,
                              check=False, cwd=server.folder,
                              env=environment(mode, server.folder))
        text = done.stdout + done.stderr
    except subprocess.TimeoutExpired as e:
        text = (e.stdout or b"").decode(errors="replace") + "\nno end after 60 s"
    sums = re.findall(r"tot_send_msgs=(\d+), tot_recv_msgs=(\d+)", text)
    sent, came = (int(x) for x in sums[-1]) if sums else (0, 0)
    if not server.alive():
        return False, "the server is gone", argv
    if mode.survive:
        good, words, _ = run_mode(MODES[0], server)
        return good, "the server serves on" if good else f"afterwards: {words}", argv
    if sent > 0 and sent == came:
        return True, f"{came} of {sent}", argv
    return False, f"{came} of {sent}{'' if sums and sent else '; ' + last_words(text)}", argv


# ---- What is behind the rows -------------------------------------------------------------------

class Row:
    def __init__(self, name, passed, words, command="", coturn=None):
        self.name, self.passed, self.words, self.command = name, passed, words, command
        self.coturn = coturn

    def show(self):
        print(f"{self.name:44} {'ok' if self.passed else 'FAILED'}: {self.words}"
              + (f"   (coturn: {self.coturn})" if self.coturn else ""), flush=True)


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-keyout", f"{folder}/k.pem", "-out", f"{folder}/c.pem"],
                   check=True, capture_output=True)


def uclient_rows(options, folder):
    modes = [m for m in MODES if wanted(options, "uclient " + m.name)]
    if not modes:
        return []
    make_certificate(folder)
    base = free_ports(20)
    ours = Server("bodkin", folder, [V4, V6], base)
    theirs = Server("coturn", folder, [V4, V6], base + 10)
    peers = [subprocess.Popen(["turnutils_peer", "-L", V4, "-L", V6, "-p", str(s.port + 3)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
             for s in (ours, theirs)]
    rows = []
    try:
        with_coturn = not options.fast and theirs.start()
        if not ours.start():
            return [Row("bodkin serve", False, "does not start")]
        for mode in modes:
            passed, words, argv = run_mode(mode, ours)
            other = None
            if with_coturn and mode.coturn:
                good, other, _ = run_mode(mode, theirs)
                if not good and not passed and words == other:
                    passed, words = True, words + ": as with coturn, it is the tool"
                if not theirs.alive():
                    with_coturn = theirs.start()
            rows.append(Row("uclient: " + mode.name, passed, words, " ".join(argv), other))
            rows[-1].show()
            if not ours.alive() and not ours.start():
                break
    finally:
        if not ours.stop():
            rows.append(Row("bodkin serve, its end", False, "not as it should be: " + ours.log))
        theirs.stop()
        for p in peers:
            p.kill()
            p.wait()
    return rows


def stun_rows(options, folder):
    if not wanted(options, "stun tools"):
        return []
    server = Server("bodkin", folder, [V4], free_ports(10))
    if not server.start():
        return [Row("bodkin serve", False, "does not start")]
    rows = []
    for name, argv in (("turnutils_stunclient", ["turnutils_stunclient"]),
                       ("turnutils_natdiscovery, mapping", ["turnutils_natdiscovery", "-m"]),
                       ("turnutils_natdiscovery, filtering", ["turnutils_natdiscovery", "-f"])):
        argv += ["-p", str(server.port), V4]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        said = re.findall(r"UDP reflexive addr: (\S+)", done.stdout + done.stderr)
        rows.append(Row(name, bool(said) and said[0].startswith(V4),
                        "saw " + said[0] if said else "no answer", " ".join(argv)))
        rows[-1].show()
    server.stop()
    return rows


# ---- Our client --------------------------------------------------------------------------------

TCP_PEER = "a peer by TCP"
OURS = [  # name, the server's URI, words, what must be true of what it says, only against one of the two
    ("UDP", "turn:{}:{}", ["echo"], None, None),
    ("TCP", "turn:{}:{}?transport=tcp", ["echo"], None, None),
    ("TLS", "turns:{}:{}", ["echo"], None, None),
    ("DTLS", "turns:{}:{}?transport=udp", ["echo"], None, None),
    ("DONT-FRAGMENT", "turn:{}:{}", ["allocate", "--dont-fragment"], None, None),
    ("IPv6 relay", "turn:{}:{}", ["allocate", "--ipv6"], lambda s: s["relayed"].startswith("[::1]"), None),
    ("mobility, UDP", "turn:{}:{}", ["echo", "--mobility"], lambda s: s["move_ms"] > 0, None),
    ("mobility, TCP", "turn:{}:{}?transport=tcp", ["echo", "--mobility"], lambda s: s["move_ms"] > 0, "bodkin"),
    ("mobility, TLS", "turns:{}:{}", ["echo", "--mobility"], lambda s: s["move_ms"] > 0, "bodkin"),
    ("a pair of ports", "turn:{}:{}", ["allocate", "--reserve"],
     lambda s: port_of(s["relayed_next"]) == port_of(s["relayed"]) + 1, None),
    (TCP_PEER, "turn:{}:{}?transport=tcp", ["allocate"], lambda s: s["peer_bytes_back"] == 100, None),
    (TCP_PEER + ", over TLS", "turns:{}:{}", ["allocate"], lambda s: s["peer_bytes_back"] == 100, None),
    ("access token", "turn:{}:{}", ["echo", "--token"], None, None),
]


def port_of(addr):
    return int(addr.rsplit(":", 1)[1])


def coturn_with_tokens(folder):
    """coturn has the keys in its data base."""
    path = os.path.join(folder, "keys.db")
    with open("/usr/share/coturn/schema.sql", encoding="utf8") as schema, sqlite3.connect(path) as db:
        db.executescript(schema.read())
        db.execute("insert into oauth_key (kid, ikm_key, as_rs_alg, realm) values (?, ?, 'A256GCM', '')",
                   ("north", TOKEN_KEYS["north"]))
    return ["--oauth", f"--db={path}"]


def make_token(server):
    """Its file. coturn, server and tools, signs with the first 16 of a key's 20 bytes."""
    name = "bodkin" if server.kind == "coturn" else "localhost"
    made = subprocess.run([BODKIN, "turn", "token", name, "--token-key", f"north:{TOKEN_KEYS['north']}"],
                          capture_output=True, text=True, check=True).stdout
    token = json.loads(made)
    if server.kind == "coturn":
        token["key"] = base64.b64encode(base64.b64decode(token["key"])[:16]).decode()
    path = os.path.join(server.folder, server.kind + ".token")
    with open(path, "w", encoding="utf8") as f:
        json.dump(token, f)
    return path


def give_back(listener):
    """A TCP peer that echoes, one connection after the other."""
    while True:
        try:
            with listener.accept()[0] as one:
                while data := one.recv(4096):
                    one.sendall(data)
        except ConnectionError:
            continue
        except OSError:
            return


def run_ours(server, name, uri, words, check, peer):
    """(passed, words, command)"""
    secure = uri.startswith("turns")
    argv = [BODKIN, "turn", words[0], uri.format(V4, server.port + (6 if secure else 0)), "--json", *words[1:]]
    if "--token" in words:
        argv.append(make_token(server))
    else:
        argv += ["--user", f"{USER}:{PASSWORD}"]
    argv += ["--insecure"] if secure else []
    argv += ["--seconds", "1", "--rate", "50"] if words[0] == "echo" else []
    argv += ["--tcp-peer", peer] if name.startswith(TCP_PEER) else []
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False, "no end after 60 s", argv
    if done.returncode != 0:
        return False, last_words(done.stderr), argv
    said = json.loads(done.stdout)
    passed = (said.get("sent") == said.get("came_back")) and (check is None or check(said))
    told = f"{said['came_back']} of {said['sent']}" if "sent" in said else said["relayed"]
    return passed, told + (f", moved in {said['move_ms']:.0f} ms" if "move_ms" in said else ""), argv


def our_rows(options, folder):
    wants = [o for o in OURS if wanted(options, "bodkin turn " + o[0])]
    if not wants:
        return []
    make_certificate(folder)
    base = free_ports(20)
    servers = [Server("bodkin", folder, [V4, V6], base),
               Server("coturn", folder, [V4, V6], base + 10, more=coturn_with_tokens(folder))]
    rows = []
    with socket.create_server((V4, 0)) as listener:
        peer = "%s:%d" % listener.getsockname()
        threading.Thread(target=give_back, args=(listener,), daemon=True).start()
        try:
            if not all([s.start() for s in servers]):
                return [Row("bodkin turn", False, "a server does not start")]
            for name, uri, words, check, only in wants:
                results = [run_ours(s, name, uri, words, check, peer) if only in (None, s.kind) else
                           (True, None, []) for s in servers]
                rows.append(Row("bodkin turn: " + name, all(r[0] for r in results), results[0][1],
                                " ".join(results[0][2]), ("" if results[1][0] else "FAILED: ") +
                                results[1][1] if results[1][1] else None))
                rows[-1].show()
        finally:
            for s in servers:
                s.stop()
    return rows


# ---- ICE agents and the browser, each with nothing but a relay ----------------------------------

class Net:
    """a and b, each on its own link to s, which has the server. Global addresses: a relay that is
    safe by default serves them."""
    ADDRESSES = {"a": ("100.3.1.1", "100.3.1.2"), "b": ("100.3.2.1", "100.3.2.2")}
    SERVER = "100.3.1.2"

    def __init__(self):
        self.tag = f"ti{os.getpid()}"

    def ns(self, name):
        return self.tag + name

    def within(self, name):
        return ["ip", "netns", "exec", self.ns(name)]

    def __enter__(self):
        def do(*argv):
            subprocess.run(argv, check=True, capture_output=True)
        for name in "asb":
            do("ip", "netns", "add", self.ns(name))
            do("ip", "-n", self.ns(name), "link", "set", "lo", "up")
        for name, (inner, outer) in self.ADDRESSES.items():
            do("ip", "link", "add", "eth0", "netns", self.ns(name), "type", "veth", "peer", "name",
               "eth" + name, "netns", self.ns("s"))
            for ns, dev, addr in ((name, "eth0", inner), ("s", "eth" + name, outer)):
                do("ip", "-n", self.ns(ns), "addr", "add", addr + "/24", "dev", dev)
                do("ip", "-n", self.ns(ns), "link", "set", dev, "up")
            do("ip", "-n", self.ns(name), "route", "add", "default", "via", outer)
        return self

    def __exit__(self, *_):
        for name in "asb":
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True, check=False)


async def agents(net, argv, uri, log):
    """Two of the same kind: connected, data both ways."""
    peers = [await lines.start(n, argv, within=net.within(n), log=log) for n in "ab"]
    try:
        lines.cross(*peers)
        server = [(uri, USER, PASSWORD)]
        lines.begin(peers[0], "controlling", server, "relay")
        lines.begin(peers[1], "controlled", server, "relay")
        for p in peers:
            await p.wait("connected", 25)
        for p, other in (peers, peers[::-1]):
            for n in range(10):  # datagrams: one may be lost
                p.tell(f"send hello {n}")
                try:
                    await other.wait("data", 1, "hello")
                    break
                except lines.Silence:
                    continue
            await other.wait("data", 1, "hello")
        return True, f"connected, data both ways, {peers[0].last('selected') or 'relay'}"
    except lines.Silence as e:
        return False, str(e)
    finally:
        for p in peers:
            await p.end()


def pages(net, uri, folder):
    argv = net.within("a") + ["node", os.path.join(HERE, "pages.js"), uri, USER, PASSWORD]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False,
                              cwd=folder)
    except subprocess.TimeoutExpired:
        return False, "no end after 90 s"
    said = (done.stdout + done.stderr).strip().splitlines()
    return done.returncode == 0, said[-1] if said else "nothing"


def agent_kinds():
    uri = f"turn:{Net.SERVER}:3478"
    nice, aio = os.path.join(PEERS, "peer_nice"), os.path.join(HERE, "../ice/peer_aioice.py")
    tcp = "?transport=tcp"
    yield "libnice, relay only, UDP", [nice], uri
    yield "libnice, relay only, TCP", [nice], uri + tcp
    yield "aioice, relay only, UDP", [PYTHON, aio], uri
    yield "aioice, relay only, TCP", [PYTHON, aio], uri + tcp
    yield "bodkin ice, relay only, UDP", [BODKIN, "ice", "--protocol"], uri
    yield "bodkin ice, relay only, TCP", [BODKIN, "ice", "--protocol"], uri + tcp
    yield "bodkin ice, relay only, TLS", [BODKIN, "ice", "--protocol", "--insecure"], \
        f"turns:{Net.SERVER}:3484"
    yield "bodkin ice, relay only, DTLS", [BODKIN, "ice", "--protocol", "--insecure"], \
        f"turns:{Net.SERVER}:3484?transport=udp"


def absent(argv):
    if argv[0].endswith("peer_nice") and not os.path.exists(argv[0]):
        return "no libnice-dev"
    if argv[-1].endswith("peer_aioice.py") and subprocess.call(
            [PYTHON, "-c", "import aioice"], stderr=subprocess.DEVNULL) != 0:
        return "no python3-aioice"
    return None


def ice_rows(options, folder):
    kinds = [k for k in agent_kinds() if wanted(options, k[0])]
    browser = [f"Chromium, two pages, relay only, {t}" for t in ("UDP", "TCP")]
    browser = [b for b in browser if wanted(options, b)]
    if not kinds and not browser:
        return []
    if os.geteuid() != 0:
        print("ICE agents: not run: namespaces need root")
        return []
    rows = []
    with Net() as net, open(os.path.join(folder, "agents.log"), "w", encoding="utf8") as log:
        server = Server("bodkin", folder, [Net.SERVER], 3478, net.within("s"))
        if not server.start():
            return [Row("bodkin serve in a namespace", False, "does not start")]
        for name, argv, uri in kinds:
            if why := absent(argv):
                print(f"{name:44} not run: {why}")
                continue
            passed, words = asyncio.run(agents(net, argv, uri, log))
            rows.append(Row(name, passed, words, f"{' '.join(argv)} with {uri}"))
            rows[-1].show()
        for name in browser:
            if not shutil.which("chromium") or not os.path.isdir(
                    os.path.join(os.environ.get("NODE_PATH", "/"), "playwright-core")):
                print(f"{name:44} not run: no chromium or playwright-core")
                continue
            uri = f"turn:{Net.SERVER}:3478?transport={name[-3:].lower()}"
            passed, words = pages(net, uri, folder)
            rows.append(Row(name, passed, words, f"pages.js {uri}"))
            rows[-1].show()
        server.stop()
    return rows


# ---- The table ---------------------------------------------------------------------------------

def version(*argv):
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
        return (done.stdout or done.stderr).strip().splitlines()[-1]
    except (OSError, IndexError, subprocess.TimeoutExpired):
        return "?"


def cell(text):
    return text.replace("|", "/").replace("\n", " ")


def line_of(r):
    return f"| {cell(r.name)} | {'' if r.passed else 'FAILED: '}{cell(r.words)} | {cell(r.coturn or '–')} |"


def table(lines):
    day = datetime.date.today()
    out = [HEADING, "", f"Written by `make interop` (`tests/interop/turn/matrix.py`), on {day.day} "
           f"{day:%B %Y}. Each row is a client that nobody here wrote", "against `bodkin serve` with "
           "TURN; uclient sends 80 messages (4 clients, 20 each), and the third column is what the "
           "same", "mode gives with coturn as the server. Its DTLS modes run with DTLS 1.2: the tool asks for 1.0, "
           "which RFC 8996 forbids.", "The rows of `bodkin turn` are our client against both: 50 echoes through "
           "the relay, or what the row's name says.", "",
           "coturn 4.6.1 signs with the first 16 bytes of a token's key of 20, server and tools alike; "
           "`bodkin serve` takes both, and", "our client is given as much as the server takes. coturn moves "
           "an allocation without an answer: over UDP it answers the second", "request (hence 500 ms), over TCP and "
           "TLS it drops the connection as well, so that there are no such rows.", "",
           f"- bodkin: {version(BODKIN, '--version')}",
           f"- coturn {version('dpkg-query', '-W', '-f', '${Version}', 'coturn')}: turnutils_uclient, "
           "turnutils_stunclient, turnutils_natdiscovery",
           f"- libnice {version('dpkg-query', '-W', '-f', '${Version}', 'libnice10')}, aioice "
           f"{version('dpkg-query', '-W', '-f', '${Version}', 'python3-aioice')}, "
           f"{version('chromium', '--version')}", "",
           "| client | bodkin serve | coturn |", "|---|---|---|"]
    return "\n".join(out + lines) + "\n"


def write(path, rows, some):
    """The rest of the page, which others write, stays; so do, after some rows only, the other ones."""
    with open(path, encoding="utf8") as f:
        before, _, ours = f.read().partition("\n" + HEADING)
    lines = {cell(r.name): line_of(r) for r in rows}
    if some:
        old = [x for x in ours.splitlines() if x.startswith("| ") and not x.startswith("| client ")]
        kept = {x[2:].split(" | ", 1)[0]: x for x in old}
        lines = {**kept, **lines}
    with open(path, "w", encoding="utf8") as f:
        f.write(before.rstrip("\n") + "\n\n" + table(list(lines.values())))


def wanted(options, name):
    return not options.only or any(w.lower() in name.lower() for w in options.only)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write")
    parser.add_argument("--failures", help="what failed, and the command, to this file")
    parser.add_argument("--fast", action="store_true", help="not against coturn as well")
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    if not shutil.which("turnutils_uclient"):
        print("skipped: no turnutils_uclient (coturn)")
        sys.exit(77)
    rows = []
    with tempfile.TemporaryDirectory(prefix="bodkin-turn.") as folder:
        for part in (stun_rows, uclient_rows, our_rows, ice_rows):
            rows += part(options, folder)
    bad = [r for r in rows if not r.passed]
    print(f"{len(rows) - len(bad)} of {len(rows)} passed")
    if options.failures:
        with open(options.failures, "w", encoding="utf8") as f:
            f.write(f"{datetime.datetime.now():%H:%M} {version(BODKIN, '--version')}\n")
            for r in bad:
                f.write(f"{r.name}\n    {r.words}\n    {r.command}\n    coturn: {r.coturn}\n")
    if options.write:
        write(options.write, rows, options.only)
    sys.exit(1 if bad or not rows else 0)


if __name__ == "__main__":
    main()
