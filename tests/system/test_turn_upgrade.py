#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGUSR2 replaces a server by another process: clients over UDP notice nothing, not one datagram is
lost; who came over TCP stays until it leaves; and when the new process cannot, the old one goes on."""
import atexit
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from serve import BODKIN, Server, run
from turn import Client, Refused

RELAYS = ("--turns", "0", "--relay-ports", "20000-29999", "--fastpath", "off")
OPTIONS = ("--turn-user", "alice:sesame", "--allow-peer", "127.0.0.0/8", *RELAYS)


def udp_peer():
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.2", 0))
    peer.settimeout(15)
    return peer


def client(server, kind=socket.SOCK_DGRAM):
    sock = socket.socket(socket.AF_INET, kind)
    sock.connect(("127.0.0.1", server.stun))
    return Client(sock, "alice", "sesame")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Upgradable(Server):
    """A server and those that take its place, which are no children of ours."""

    def __init__(self, *options, **more):
        super().__init__(*options, **more)
        self.pids = [self.process.pid]
        atexit.register(self.end)  # also when a test fails

    def end(self):
        for pid in self.pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)

    def upgrade(self, wanted="upgraded"):
        before = self.logged().count(f" {wanted} ")
        os.kill(self.pids[-1], signal.SIGUSR2)
        until = time.monotonic() + 60
        while self.logged().count(f" {wanted} ") == before:
            assert time.monotonic() < until, self.logged()
            time.sleep(0.02)
        if wanted == "upgraded":
            self.pids.append(int(re.findall(r" upgraded pid=(\d+)", self.logged())[-1]))

    def wait_for_end(self, pid, seconds=30):
        until = time.monotonic() + seconds
        while is_alive(pid):
            assert time.monotonic() < until, self.logged()
            time.sleep(0.02)

    def close(self):
        assert self.process.wait(30) == 0, self.logged()
        for pid in self.pids[:-1]:
            self.wait_for_end(pid)  # having handed over
        os.kill(self.pids[-1], signal.SIGTERM)
        self.wait_for_end(self.pids[-1])
        log = self.logged()
        assert log.count(" stopped ") == len(self.pids), log
        for mistake in ("ERROR: AddressSanitizer", "runtime error", "WARNING: ThreadSanitizer"):
            assert mistake not in log, log
        self.process.stdout.close()
        shutil.rmtree(self.dir)


class Traffic(threading.Thread):
    """Numbered datagrams both ways through every allocation, until stop()."""

    def __init__(self, clients, peer, pause_s):
        super().__init__(daemon=True)
        self.clients, self.peer, self.pause_s = clients, peer, pause_s
        self.by_sock = {c.sock: i for i, c in enumerate(clients)}
        self.sent, self.stopping = 0, False
        self.up, self.down = [set() for _ in clients], [set() for _ in clients]
        self.start()

    def run(self):
        while not self.stopping:
            for i, c in enumerate(self.clients):
                c.send_channel(0x4000, struct.pack("!II", i, self.sent))
            self.sent += 1
            self.read_for(self.pause_s)
        until = time.monotonic() + 15
        while min(map(len, self.up + self.down)) < self.sent and time.monotonic() < until:
            self.read(0.1)

    def read_for(self, seconds):
        """Whoever is slow is given time, but not for ever: a server that pauses is sent to."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.read(left)
        for _ in range(20):
            if self.sent - min(map(len, self.down)) < 20 or not self.read(0.05):
                break

    def read(self, wait_s):
        got = select.select([self.peer, *self.by_sock], [], [], wait_s)[0]
        for sock in got:
            if sock is self.peer:
                data, relay = sock.recvfrom(100)
                i, n = struct.unpack("!II", data)
                assert n not in self.up[i] and relay == self.clients[i].relay
                self.up[i].add(n)
                sock.sendto(data, relay)
            else:
                data = sock.recv(100)
                i, n = struct.unpack("!II", data[4:12])
                assert data[:4] == b"\x40\x00\x00\x08" and i == self.by_sock[sock]
                self.down[i].add(n)
        return bool(got)

    def stop(self):
        """How many datagrams went each way; none is missing."""
        self.stopping = True
        self.join()
        for i in range(len(self.clients)):
            missing = set(range(self.sent)) - self.up[i], set(range(self.sent)) - self.down[i]
            assert missing == (set(), set()), (i, self.sent, *map(len, missing))
        return self.sent * len(self.clients)


def bound_client(server, peer, kind=socket.SOCK_DGRAM):
    one = client(server, kind)
    one.relay = one.allocate()
    one.bind(0x4000, peer.getsockname())
    return one


def nothing_is_lost():
    peer = udp_peer()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    server = Upgradable(*OPTIONS)
    clients = [bound_client(server, peer) for _ in range(40)]
    traffic = Traffic(clients, peer, 0.01)
    server.upgrade()
    server.wait_for_log(" upgrade_over ", 30)
    server.upgrade()  # and the new one by a newer one
    relayed = traffic.stop()
    assert relayed > 1000, relayed
    for one in clients:  # nonces go on, and so does who they are
        nonce = one.nonce
        one.refresh(600)
        one.permit("127.0.0.3")
        assert one.nonce == nonce
    again = client(server)
    again.allocate()
    assert " handed_over " in server.logged()
    for one in clients:
        one.refresh(0)
    server.close()


def who_came_over_tcp_stays():
    peer = udp_peer()
    server = Upgradable(*OPTIONS)
    over_tcp = bound_client(server, peer, socket.SOCK_STREAM)
    over_udp = bound_client(server, peer)
    server.upgrade()
    for one in (over_tcp, over_udp):
        one.send_channel(0x4000, b"hello")
        data, relay = peer.recvfrom(100)
        assert (data, relay) == (b"hello", one.relay)
        peer.sendto(b"well", relay)
        assert one.data() == (0x4000, b"well")
        one.refresh(600)
    # clients of the two may be each other's peers
    over_tcp.bind(0x4001, over_udp.relay)
    over_udp.bind(0x4001, over_tcp.relay)
    over_tcp.send_channel(0x4001, b"from tcp")
    assert over_udp.data() == (0x4001, b"from tcp")
    over_udp.send_channel(0x4001, b"from udp")
    assert over_tcp.data() == (0x4001, b"from udp")
    server.upgrade("upgrade_refused")  # the first one is still there
    assert is_alive(server.pids[0])
    assert client(server, socket.SOCK_STREAM).allocate()  # at the new one
    over_tcp.sock.close()
    server.wait_for_end(server.pids[0])
    server.wait_for_log(" upgrade_over ")
    server.close()


def who_came_over_dtls_stays():
    server = Upgradable(*OPTIONS)
    echo = subprocess.Popen(
        [BODKIN, "turn", "echo", f"turns:127.0.0.1:{server.stun}?transport=udp", "--insecure",
         "--user", "alice:sesame", "--rate", "100", "--seconds", "4", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    server.wait_for_metric("bodkin_turn_allocations", 1)
    server.upgrade()
    assert " stay=1" in server.logged()
    out, err = echo.communicate(timeout=60)
    assert err == "", err
    said = json.loads(out.splitlines()[-1])
    assert said["came_back"] == said["sent"] > 0, said
    server.wait_for_end(server.pids[0])
    server.close()


def the_service_manager_is_told():
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(f"\0bodkin-test-{os.getpid()}")
    heard.settimeout(30)
    os.environ["NOTIFY_SOCKET"] = f"@bodkin-test-{os.getpid()}"
    server = Upgradable(*OPTIONS)
    assert heard.recv(100).decode() == f"READY=1\nMAINPID={server.pids[0]}"
    server.upgrade()
    assert heard.recv(100).decode() == f"READY=1\nMAINPID={server.pids[1]}"
    del os.environ["NOTIFY_SOCKET"]
    server.close()
    heard.close()


def the_grace_ends_it():
    peer = udp_peer()
    server = Upgradable(*OPTIONS, "--upgrade-grace", "1")
    over_tcp = bound_client(server, peer, socket.SOCK_STREAM)
    server.upgrade()
    server.wait_for_end(server.pids[0])
    assert over_tcp.sock.recv(100) == b""
    server.close()


def a_new_one_that_cannot_changes_nothing():
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    os.chmod(folder, 0o755)
    path = os.path.join(folder, "bodkin.conf")

    def write(text):
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write("turn-user = alice:sesame\nallow-peer = 127.0.0.0/8\n" + text)
        os.rename(path + ".new", path)

    peer = udp_peer()
    write("")
    server = Upgradable(*RELAYS, "--config", path)
    one = bound_client(server, peer)
    traffic = Traffic([one], peer, 0.01)
    write("stun = many\n")
    server.upgrade("upgrade_failed")
    write("relay-address = 127.0.0.9\n")  # where the allocation is not
    server.upgrade("upgrade_failed")
    assert "relay-address" in server.logged()
    assert traffic.stop() > 0
    one.refresh(600)
    assert server.process.poll() is None
    write("")
    server.upgrade()
    one.refresh(600)
    server.close()
    shutil.rmtree(folder)


FALSE_HEIR = '''#!/usr/bin/env python3
# What server/upgrade.h says up to step {last}, and then the end.
import array, os, socket, struct, sys, time
channel = socket.socket(fileno=int(os.environ["BODKIN_UPGRADE_FD"]))
HELLO, DOORS_END, PREPARED, LET_GO, READY, WORKER_END, TAKEN, COMMIT = 1, 3, 4, 5, 6, 11, 12, 13
def say(kind, rest=b""):
    channel.sendall(struct.pack("!BBHI", kind, 0, 0, len(rest)) + rest)
def hear(wanted, times=1):
    while times > 0:
        message = channel.recvmsg(1 << 17, socket.CMSG_SPACE(4 * 253))[0]
        assert message
        while message:
            kind, _, _, size = struct.unpack("!BBHI", message[:8])
            message = message[8 + size:]
            times -= kind == wanted
steps = [lambda: hear(DOORS_END), lambda: say(PREPARED), lambda: hear(LET_GO), lambda: say(READY),
         lambda: hear(WORKER_END, 2), lambda: say(TAKEN), lambda: hear(COMMIT)]
for step in steps[:{last}]:
    step()
time.sleep({sleep})
{word}
'''


def a_new_one_that_dies_on_the_way_changes_nothing():
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    program = os.path.join(folder, "bodkin")
    shutil.copy(BODKIN, program)
    peer = udp_peer()
    server = Upgradable(*OPTIONS, program=program)
    clients = [bound_client(server, peer) for _ in range(10)]
    traffic = Traffic(clients, peer, 0.01)
    for last, word in ((0, ""), (2, "say(99)"), (4, ""), (5, "say(16, b'no')"), (5, ""), (7, "")):
        with open(program + ".new", "w", encoding="utf-8") as file:
            file.write(FALSE_HEIR.format(last=last, word=word, sleep=0.1))
        os.chmod(program + ".new", 0o755)
        os.rename(program + ".new", program)
        server.upgrade("upgrade_failed")
    os.unlink(program)
    server.upgrade("upgrade_failed")
    assert "No such file" in server.logged()
    shutil.copy(BODKIN, program)
    server.upgrade()
    traffic.stop()
    for one in clients:
        one.refresh(600)
        one.refresh(0)
    server.close()
    shutil.rmtree(folder)


run([nothing_is_lost, who_came_over_tcp_stays, who_came_over_dtls_stays, the_grace_ends_it,
     a_new_one_that_dies_on_the_way_changes_nothing, the_service_manager_is_told, a_new_one_that_cannot_changes_nothing])
