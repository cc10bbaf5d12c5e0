#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Forwarded ports from outside: TCP, UDP, a real ssh, refusals, lost sessions."""
import getpass
import hashlib
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from peers import Machine
from serve import Server, run

MB = 1000 * 1000


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Target:
    """A TCP server on loopback; `serve` is called with each connection in a thread of its own."""

    def __init__(self, serve):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.name = f"127.0.0.1:{self.port}"
        self.serve = serve
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.settimeout(60)
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        with connection:
            try:
                self.serve(connection)
            except OSError:  # clients that break off are part of the tests
                pass

    def close(self):
        self.socket.close()


def echo(connection):
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def read_all(connection):
    parts = []
    while data := connection.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


class Scene:
    """A home server, a listener that forwards, and a connector."""

    def __init__(self):
        self.server = Server()
        self.here, self.there = Machine(), Machine()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.here.close()
        self.there.close()
        self.server.kill()

    def listen(self, *allowed, more=()):
        options = [word for target in allowed for word in ("--allow-forward", target)]
        return self.there.start("listen", "--home", self.server.home, *options, *more)

    def connect(self, ticket, *forwards, more=(), ready=True):
        options = [word for rule in forwards for word in ("-L", rule)]
        connector = self.here.start("connect", "--json", *options, *more, ticket)
        if ready:
            connector.wait_for('"forwarding"')
        return connector

    def forward(self, target, *more):
        """Forwards a new local port to the target; gives the port and both peers."""
        listener, port = self.listen(target), free_port()
        connector = self.connect(listener.ticket(), f"{port}:{target}", more=more)
        return port, listener, connector


def dial(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def end(connector, listener):
    """Ctrl-C at the connector; the listener goes on until its own."""
    connector.signal(signal.SIGINT)
    connector.must_end(130)
    assert listener.process.poll() is None, listener.told()
    listener.signal(signal.SIGINT)
    listener.must_end(130)


def test_many_connections():
    """50 at once, each with bytes of its own and a half close; then 300 one after the other."""
    with Scene() as scene:
        target = Target(lambda c: c.sendall(hashlib.sha256(read_all(c)).digest()))
        port, listener, connector = scene.forward(target.name)
        sockets = [dial(port) for _ in range(50)]
        blocks = [os.urandom(50000 + i) for i in range(50)]
        for s, block in zip(sockets, blocks):
            s.sendall(block)
        for s, block in zip(sockets, blocks):
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == hashlib.sha256(block).digest()
            s.close()
        for i in range(300):
            with dial(port) as s:
                s.sendall(b"%d" % i)
                s.shutdown(socket.SHUT_WR)
                assert read_all(s) == hashlib.sha256(b"%d" % i).digest()
        target.close()
        end(connector, listener)


def test_bulk_both_ways():
    """20 MB there and back at the same time."""
    with Scene() as scene:
        target = Target(echo)
        port, listener, connector = scene.forward(target.name)
        data = os.urandom(20 * MB)
        with dial(port) as s:
            writer = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
            writer.start()
            got = read_all(s)
            writer.join()
        assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest(), len(got)
        target.close()
        end(connector, listener)


def test_slow_target():
    """A target that does not read stops the client; memory stays bounded."""
    with Scene() as scene:
        release = threading.Event()
        target = Target(lambda c: (release.wait(30), c.sendall(b"%d" % len(read_all(c)))))
        port, listener, connector = scene.forward(target.name)
        with dial(port) as s:
            s.settimeout(2)
            sent = 0
            try:
                while sent < 500 * MB:
                    sent += s.send(bytes(MB))
            except TimeoutError:
                pass
            assert sent < 200 * MB, sent
            assert all(p.memory_kib() < 400 * 1024 for p in (listener, connector))
            release.set()
            s.settimeout(30)
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b"%d" % sent
        target.close()
        end(connector, listener)


def test_breaks():
    """A side that resets or leaves in the middle takes its connection with it, and only that."""
    with Scene() as scene:
        target = Target(lambda c: c.recv(10) == b"leave now!" or echo(c))
        port, listener, connector = scene.forward(target.name)
        for _ in range(20):
            with dial(port) as s:  # leaves with bytes unread and unsent: a reset
                s.sendall(b"x" * 200000)
        for _ in range(20):
            with dial(port) as s:
                s.sendall(b"leave now!")
                try:
                    assert read_all(s) == b""
                except ConnectionError:
                    pass
        with dial(port) as s:
            s.sendall(b"0123456789still here")
            assert s.recv(10) == b"still here"
        target.close()
        end(connector, listener)


def test_refusals():
    """What is not allowed, and what cannot be reached: a sentence, and the client's end."""
    with Scene() as scene:
        allowed = f"127.0.0.1:{free_port()}"
        listener = scene.listen(allowed)
        ports = free_port(), free_port()
        connector = scene.connect(listener.ticket(), f"{ports[0]}:{allowed}", f"{ports[1]}:127.0.0.1:22")
        for port, sentence in zip(ports, (f"the peer cannot reach {allowed}",
                                          "the peer does not allow 127.0.0.1:22")):
            for _ in range(3):
                with dial(port) as s:
                    assert s.recv(1) == b""
            connector.wait_for(sentence)
        end(connector, listener)


def test_modes_must_fit():
    """-L towards a listener that is a pipe, and the other way round: 12 and a sentence."""
    with Scene() as scene:
        pipe = scene.there.start("listen", "--home", scene.server.home)
        scene.here.run("connect", "-L", f"{free_port()}:a:1", pipe.ticket()).must_end(
            12, "the peer does not forward")
        pipe.must_end(12, "the peer wants to forward")
        forwards = scene.listen("a:1")
        scene.here.run("connect", forwards.ticket()).must_end(12, "the peer forwards ports")
        forwards.signal(signal.SIGINT)
        forwards.must_end(130)


def test_rules():
    with Scene() as scene:
        busy = socket.create_server(("127.0.0.1", 0))
        listener = scene.listen("a:1")
        ticket = listener.ticket()
        for rule in ("8080", "8080:host", "0:host:1", "8080:host:0", "8080:::1:80", "x:1:host:1"):
            scene.here.run("connect", "-L", rule, ticket).must_end(2, "is not [addr:]port:host:port")
        scene.here.run("connect", "-L", f"{busy.getsockname()[1]}:a:1", ticket).must_end(
            1, "the port is in use")
        scene.there.run("listen", "--home", scene.server.home, "--allow-forward", "22").must_end(
            2, "is not HOST:PORT")
        busy.close()


class UdpTarget:
    """Sends every datagram back, and remembers how many came."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.name = f"127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                data, source = self.socket.recvfrom(65536)
                self.socket.sendto(data, source)
            except OSError:
                return

    def close(self):
        self.socket.close()


def test_udp():
    """Datagrams of every length, the first one too, for several clients at once."""
    with Scene() as scene:
        target, port = UdpTarget(), free_port(socket.SOCK_DGRAM)
        listener = scene.listen(target.name)
        connector = scene.connect(listener.ticket(), f"{port}:{target.name}", more=("--udp",))
        clients = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
        for number, client in enumerate(clients):
            client.settimeout(10)
            client.connect(("127.0.0.1", port))
            for length in (1, 0, 100, 1100, 1200, 1400, 4000, 60000, 7):
                data = bytes([number]) * length
                client.send(data)
                got = client.recv(65536)
                assert got == data, (length, len(got))
        for client in clients:
            client.close()
        target.close()
        end(connector, listener)


def test_udp_refused():
    with Scene() as scene:
        port = free_port(socket.SOCK_DGRAM)
        listener = scene.listen("127.0.0.1:9")
        connector = scene.connect(listener.ticket(), f"{port}:127.0.0.1:10", more=("--udp",))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(20):
                client.sendto(b"x", ("127.0.0.1", port))
                time.sleep(0.02)
        connector.wait_for("does not allow this UDP forward")
        assert connector.told().count("does not allow") == 1, "told once, not for every datagram"
        end(connector, listener)


def test_listener_restarts():
    """The session is made again when the listener is back, if it knows our key by --allow; a new
    ticket alone would be another one."""
    with Scene() as scene:
        target, port = Target(echo), free_port()
        more = ("--allow", scene.here.key())
        listener = scene.listen(target.name, more=more)
        connector = scene.connect(listener.ticket(), f"{port}:{target.name}")
        with dial(port) as old:
            old.sendall(b"a")
            assert old.recv(1) == b"a"
            listener.signal(signal.SIGINT)
            listener.must_end(130)
            connector.wait_for('"lost"')
            assert old.recv(1) == b"", "the connection ended with its session"
        waiting = dial(port)
        waiting.sendall(b"b")
        listener = scene.listen(target.name, more=more)
        waiting.settimeout(40)
        assert waiting.recv(1) == b"b", "it waited for the new session"
        waiting.close()
        listener.signal(signal.SIGINT)
        listener.must_end(130)
        listener = scene.listen(target.name)
        connector.must_end(7, "ask for a new one", timeout=60)
        target.close()


def test_connections_before_the_session():
    """A client may come as soon as the port is open."""
    with Scene() as scene:
        target, port = Target(echo), free_port()
        listener = scene.listen(target.name)
        connector = scene.connect(listener.ticket(), f"[::1]:{port}:{target.name}",
                                  f"localhost:{port}:{target.name}", ready=False)
        until = time.monotonic() + 10
        while True:
            try:
                early = dial(port)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < until, connector.told()
        early.sendall(b"early")
        assert early.recv(5) == b"early"
        early.close()
        with socket.create_connection(("::1", port), timeout=10) as six:
            six.sendall(b"six")
            assert six.recv(3) == b"six"
        target.close()
        end(connector, listener)


def moody(connection):
    """A target that does anything a target may do."""
    mood = random.random()
    if mood < 0.2:
        return
    if mood < 0.4:
        connection.recv(1000)
    elif mood < 0.6:
        connection.sendall(os.urandom(random.randrange(400000)))
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    elif mood < 0.7:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    else:
        echo(connection)


RESET = struct.pack("ii", 1, 0)  # close() resets


def moody_client(port, until):
    while time.monotonic() < until:
        try:
            with dial(port) as s:
                mood = random.random()
                if mood < 0.2:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                if mood < 0.4:
                    s.sendall(bytes(random.randrange(300000)))
                else:
                    s.sendall(bytes(random.randrange(30000)))
                    s.shutdown(socket.SHUT_WR)
                    read_all(s)
        except OSError:  # resets are what this is about
            pass


def test_everything_breaks_at_any_time():
    """Thousands of connections that end in every way, over a restart of the listener, directly and
    relayed: afterwards a new one works, and no descriptor is left open."""
    for how in ((), ("--relay-only",)):
        with Scene() as scene:
            target, port = Target(moody), free_port()
            more = ("--allow", scene.here.key(), *how)
            listener = scene.listen(target.name, more=more)
            connector = scene.connect(listener.ticket(), f"{port}:{target.name}")
            until = time.monotonic() + 5
            clients = [threading.Thread(target=moody_client, args=(port, until)) for _ in range(20)]
            for client in clients:
                client.start()
            time.sleep(2)
            listener.signal(signal.SIGINT)
            listener.must_end(130)
            listener = scene.listen(target.name, more=more)
            for client in clients:
                client.join(30)
                assert not client.is_alive(), "a client hangs"
            target.serve = echo
            with dial(port) as s:
                s.sendall(b"works")
                assert s.recv(5) == b"works"
            time.sleep(1)
            for peer in (listener, connector):
                count = len(os.listdir(f"/proc/{peer.process.pid}/fd"))
                assert count < 22, f"{count} descriptors"
            target.close()
            end(connector, listener)


def test_client_leaves_a_talking_target():
    """A client ends its side, then leaves without reading: the target's connection ends, too."""
    with Scene() as scene:
        target = Target(lambda c: c.sendall(bytes(50 * MB)))
        port, listener, connector = scene.forward(target.name)
        descriptors = f"/proc/{listener.process.pid}/fd"
        before = len(os.listdir(descriptors))
        for _ in range(20):
            with dial(port) as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                s.shutdown(socket.SHUT_WR)
                s.recv(1)
        until = time.monotonic() + 10
        while len(os.listdir(descriptors)) > before:
            assert time.monotonic() < until, f"{len(os.listdir(descriptors))} of {before}"
            time.sleep(0.1)
        target.close()
        end(connector, listener)


def keygen(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def test_ssh():
    """A real ssh to a real sshd, and a file through it."""
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    if not (os.path.exists(sshd) and shutil.which("ssh") and shutil.which("ssh-keygen")):
        print("test_ssh: skipped, no sshd here")
        return
    with Scene() as scene:
        d, sshd_port = scene.there.dir, free_port()
        keygen(f"{d}/host")
        keygen(f"{d}/user")
        shutil.copy(f"{d}/user.pub", f"{d}/authorized")
        with open(f"{d}/config", "w") as f:
            f.write(f"Port {sshd_port}\nListenAddress 127.0.0.1\nHostKey {d}/host\nPidFile none\n"
                    f"AuthorizedKeysFile {d}/authorized\nStrictModes no\nUsePAM no\n"
                    "PasswordAuthentication no\nPermitRootLogin yes\n")
        if os.geteuid() == 0:
            os.makedirs("/run/sshd", exist_ok=True)
        log = open(f"{d}/sshd.log", "w")
        daemon = subprocess.Popen([sshd, "-D", "-e", "-f", f"{d}/config"], stderr=log)
        try:
            target = f"localhost:{sshd_port}"
            forwarded, listener, connector = scene.forward(target)
            data = os.urandom(2 * MB)
            command = ["ssh", "-p", str(forwarded), "-i", f"{d}/user", "-F", "none",
                       "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                       "-o", "BatchMode=yes", "-o", "LogLevel=ERROR",
                       f"{getpass.getuser()}@127.0.0.1", "cat; exit 42"]
            ssh = subprocess.run(command, input=data, capture_output=True, timeout=60)
            with open(log.name) as told:
                assert ssh.returncode == 42, (ssh, told.read())
            assert ssh.stdout == data, len(ssh.stdout)
            end(connector, listener)
        finally:
            daemon.kill()
            daemon.wait()
            log.close()


if __name__ == "__main__":
    wanted = sys.argv[1:]
    run([test for name, test in sorted(globals().items())
         if name.startswith("test_") and (not wanted or name in wanted)])
