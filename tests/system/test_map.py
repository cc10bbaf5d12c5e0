#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin map` through a real router: miniupnpd on Linux, by PCP, NAT-PMP and UPnP, UDP and TCP.
Each mapping must carry a packet of a stranger outside to the home, and be gone after the end.
Exit 77: no miniupnpd, no namespaces."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mapping_router  # noqa: E402
from mapping_router import EXTERNAL, HOME6, OUTSIDE, OUTSIDE2  # noqa: E402
from serve import BODKIN  # noqa: E402

PATIENCE_S = 15

LISTEN = """
import socket, sys
family = socket.AF_INET6 if sys.argv[3] == "6" else socket.AF_INET
kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
s = socket.socket(family, kind)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", int(sys.argv[2])))
if kind == socket.SOCK_STREAM:
    s.listen()
print("ready", flush=True)
s.settimeout(15)
if kind == socket.SOCK_STREAM:
    s, _ = s.accept()
print(s.recv(100).decode(), flush=True)
"""

SEND = """
import socket, sys, time
family = socket.AF_INET6 if ":" in sys.argv[2] else socket.AF_INET
if sys.argv[1] == "tcp":
    s = socket.socket(family, socket.SOCK_STREAM)
    s.settimeout(5)
    s.connect((sys.argv[2], int(sys.argv[3])))
    s.send(b"hello")
else:
    s = socket.socket(family, socket.SOCK_DGRAM)
    for _ in range(5):
        s.sendto(b"hello", (sys.argv[2], int(sys.argv[3])))
        time.sleep(0.1)
"""


class Map:
    """A running `bodkin map --json`."""

    def __init__(self, router, *options):
        self.errors = tempfile.TemporaryFile(dir=router.work)
        self.process = router.popen("in", [BODKIN, "map", "--json", *options],
                                    stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                    env={**os.environ, "HOME": router.work})

    def told(self):
        return os.pread(self.errors.fileno(), 1 << 20, 0).decode()

    def next(self, event):
        """Its next line, which must be of that kind."""
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.told()}"
        got = json.loads(line)
        assert got["event"] == event, got
        return got

    def stop(self):
        start = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        rest = self.process.communicate(timeout=PATIENCE_S)[0]
        assert self.process.returncode == 0, f"{self.process.returncode}: {self.told()}"
        assert "Sanitizer" not in self.told() and "runtime error" not in self.told(), self.told()
        return [json.loads(line) for line in rest.splitlines()], time.monotonic() - start


def serve(router):
    """`bodkin serve` outside, on two addresses; its home line."""
    log = open(os.path.join(router.work, "serve"), "w+", encoding="utf-8")
    server = router.popen("out", [
        BODKIN, "serve", "--listen", OUTSIDE, "--listen", OUTSIDE2, "--https", "443", "--stun",
        "3478", "--plain-http", "0", "--workers", "1", "--state",
        os.path.join(router.work, "state")], stdout=subprocess.PIPE, stderr=log, text=True)
    line = server.stdout.readline().strip()
    assert line.startswith("home: "), open(log.name, encoding="utf-8").read()
    return line[6:]


def carries(router, protocol, port, address, external, family="4"):
    """Does a stranger's packet to the outside address reach the port at home?"""
    listener = router.popen("in", [sys.executable, "-c", LISTEN, protocol, str(port), family],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert listener.stdout.readline() == "ready\n"
    router.run("out", [sys.executable, "-c", SEND, protocol, address, str(external)],
               stderr=subprocess.DEVNULL)
    if listener.poll() is None:
        time.sleep(0.2)
        got = listener.stdout.readline() if select_readable(listener.stdout) else ""
    else:
        got = listener.stdout.read()
    listener.kill()
    return got == "hello\n"


def select_readable(stream):
    import select
    return bool(select.select([stream], [], [], 2)[0])


def test_each_way(router, home):
    port = 40000
    for way in ("pcp", "nat-pmp", "upnp"):
        for protocol in ("udp", "tcp"):
            port += 1
            options = ["--tcp"] if protocol == "tcp" else []
            m = Map(router, "-4", str(port), "--way", way, "--home", home, *options)
            lease = m.next("mapped")
            assert lease["external"] == f"{EXTERNAL}:{port}", lease
            assert lease["by"].lower() == way and lease["public"] is True, lease
            expected = "yes" if protocol == "udp" else "address-only"
            assert lease["verified"] == expected, lease
            assert carries(router, protocol, port, EXTERNAL, port), (way, protocol)
            rest, took = m.stop()
            assert [e["event"] for e in rest] == ["released"], rest
            assert not router.rules(), router.rules()
            assert not carries_quickly(router, protocol, port), (way, protocol)
            assert took < 5, took


def carries_quickly(router, protocol, port):
    """After the release; one packet is enough."""
    return any(str(port) in rule for rule in router.rules()) and \
        carries(router, protocol, port, EXTERNAL, port)


def test_the_best_way_wins(router, home):
    m = Map(router, "-4", "40100", "--home", home)
    assert m.next("mapped")["by"] == "PCP"
    assert len([r for r in router.rules() if "dnat" in r]) == 1, router.rules()
    m.stop()
    assert not router.rules()


def test_probe(router, _home):
    done = router.run("in", [BODKIN, "map", "--probe", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ways = {r["router"]: r["ways"] for r in json.loads(done.stdout)["routers"]}
    v4 = ways[mapping_router.ROUTER]
    assert [v4[w]["offered"] for w in ("PCP", "NAT-PMP", "UPnP")] == ["yes"] * 3, v4
    assert v4["NAT-PMP"]["external"] == v4["UPnP"]["external"] == EXTERNAL, v4
    assert not router.rules()


def test_a_firewall_for_ipv6(router, _home):
    """PCP and UPnP open the router's firewall; the address outside is the one inside."""
    for way in ("pcp", "upnp"):
        m = Map(router, "-6", "--tcp", "40200", "--way", way)
        assert m.next("mapped")["external"] == f"[{HOME6}]:40200"
        assert carries(router, "tcp", 40200, HOME6, 40200, "6"), (way, router.rules())
        m.stop()
        assert not router.rules(), (way, router.rules())


def wait_until(true):
    until = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < until
        time.sleep(0.1)


def main(behind_one, others=()):
    """Runs `behind_one`, all at one router with the daemon and a server, and the others."""
    mapping_router.need()
    with mapping_router.Router() as router:
        home = serve(router)
        router.start_daemon()
        for test in behind_one:
            run(test, router, home)
    for test in others:
        run(test)
    return 0


def run(test, *args):
    if sys.argv[1:] and test.__name__ not in sys.argv[1:]:
        return
    start = time.monotonic()
    test(*args)
    print(f"{test.__name__}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    sys.exit(main((test_each_way, test_the_best_way_wins, test_probe, test_a_firewall_for_ipv6)))
