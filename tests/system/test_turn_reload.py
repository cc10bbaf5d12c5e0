#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGHUP: everything but the listeners changes, nothing that was granted is lost, and a broken
configuration changes nothing."""
import base64
import hmac
import os
import pwd
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from serve import Server, run
from turn import ERROR, LIFETIME, REFRESH, Client, Refused, attribute, udp_peer


def client(server, user="alice", password="sesame"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", server.stun))
    return Client(sock, user, password)


def code_of(action, *arguments):
    try:
        action(*arguments)
        return 0
    except Refused as refused:
        return refused.code


class Configured:
    """A server with a configuration file that it can read as whoever it becomes."""

    def __init__(self, text):
        self.folder = tempfile.mkdtemp(prefix="bodkin-test-")
        os.chmod(self.folder, 0o755)
        self.file = os.path.join(self.folder, "bodkin.conf")
        self.write(text)
        # Ports that nobody is given unasked: no client here sends twice.
        self.server = Server("--config", self.file, "--turns", "0", "--relay-ports", "20000-29999")

    def write(self, text):
        with open(self.file, "w") as file:
            file.write(text)
        os.chmod(self.file, 0o644)

    def reload(self, text, wanted=" reload "):
        before = self.server.logged().count(wanted)
        self.write(text)
        self.server.signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while self.server.logged().count(wanted) == before:
            assert time.monotonic() < until, self.server.logged()
            time.sleep(0.02)

    def close(self):
        self.server.close()
        shutil.rmtree(self.folder)


def users_limits_and_filters_change():
    peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind(("127.0.0.2", 0))  # relays of one server may always talk to each other
    peer.settimeout(15)
    one = Configured("turn-user = alice:sesame\n")
    old = client(one.server)
    old.allocate()
    assert code_of(old.permit, "127.0.0.2") == 403
    one.reload("turn-user = bob:tahini\nallow-peer = 127.0.0.0/8\nuser-allocations-max = 1\n")
    until = time.monotonic() + 10  # each worker takes it up in its own time
    while True:
        probes = [code_of(client(one.server, "alice").allocate) for _ in range(8)]
        if all(code == 401 for code in probes):
            break
        assert time.monotonic() < until, probes
        time.sleep(0.05)
    new = client(one.server, "bob", "tahini")
    new.allocate()
    new.bind(0x4000, peer.getsockname())
    new.send_channel(0x4000, b"hello")
    assert peer.recv(100) == b"hello"
    codes = [code_of(client(one.server, "bob", "tahini").allocate) for _ in range(4)]
    assert codes == [486] * 4, codes
    one.reload("turn-user = bob:tahini\ndeny-peer = 127.0.0.0/8\nallow-peer = 10.0.0.0/8\n")
    until = time.monotonic() + 10
    while code_of(new.permit, "127.0.0.2") != 403:
        assert time.monotonic() < until
        time.sleep(0.05)
    new.send_channel(0x4000, b"still here")  # what was granted stays until it ends
    assert peer.recv(100) == b"still here"
    one.close()


def a_broken_file_changes_nothing():
    one = Configured("turn-user = alice:sesame\nallow-peer = 127.0.0.0/8\n")
    kept = client(one.server)
    kept.allocate()
    one.reload("turn-user = bob:tahini\nstun = many\n", "reload_failed")
    assert "bodkin.conf, line 2: " in one.server.logged()
    one.reload("turn-user = bob:tahini\ncert = /nowhere/cert.pem\n", "reload_failed")
    assert code_of(client(one.server, "bob", "tahini").allocate) == 401
    kept.refresh(600)
    assert code_of(client(one.server).allocate) == 0
    one.reload("turn-user = alice:sesame\nworkers = 3\n", "restart_needed option=workers")
    assert "sesame" not in one.server.logged() and "tahini" not in one.server.logged()
    one.close()


def a_hundred_reloads_lose_nothing():
    text = "turn-user = alice:sesame\nallow-peer = 127.0.0.0/8\n"
    peer = udp_peer()
    one = Configured(text)
    kept = client(one.server)
    kept.allocate()
    kept.bind(0x4000, peer.getsockname())
    for i in range(100):
        one.server.signal(signal.SIGHUP)
        kept.send_channel(0x4000, b"%d" % i)
        data, relay = peer.recvfrom(100)
        assert data == b"%d" % i
        peer.sendto(data, relay)
        assert kept.data() == (0x4000, data)
    one.server.signal(signal.SIGHUP)
    kept.refresh(600)
    one.close()


def the_log_level_changes():
    one = Configured("log-level = info\n")
    one.reload("log-level = debug\n")
    one.server.get("/")
    one.server.wait_for_log(" debug closed ")
    one.close()


def a_renewed_certificate_is_read_by_itself():
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    os.chmod(folder, 0o755)
    chain = os.path.join(folder, "chain.pem")
    maker = Server("--turns", "0")  # makes certificates
    shutil.copy(os.path.join(maker.state, "tls.pem"), chain)
    os.chmod(chain, 0o644)  # so that whoever the server becomes can read it again
    server = Server("--turns", "0", "--cert", chain)
    shutil.copy(chain, chain + ".new")
    os.rename(chain + ".new", chain)  # as certificate clients do
    server.wait_for_log(" certificate file=", 20)
    assert "certificate_failed" not in server.logged()
    server.close()
    maker.close()
    shutil.rmtree(folder)


def clients_are_sent_elsewhere():
    one = Configured("turn-user = alice:sesame\n")
    stays = client(one.server)
    stays.allocate()
    one.reload("turn-user = alice:sesame\nalternate-server = 192.0.2.9\n")
    until = time.monotonic() + 10
    while [code_of(client(one.server).allocate) for _ in range(4)] != [300] * 4:
        assert time.monotonic() < until
        time.sleep(0.05)
    stays.refresh(600)
    one.close()


def answers_to_strangers(server, asked=40):
    """How many of so many Binding requests, all at once, got an answer."""
    got = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.5)
        for _ in range(asked):
            sock.sendto(b"\0\1\0\0\x21\x12\xa4\x42" + os.urandom(12), ("127.0.0.1", server.stun))
        try:
            while got < asked:
                sock.recv(1000)
                got += 1
        except TimeoutError:
            pass
    return got


def the_throttle_changes():
    one = Configured("throttle = 1\n")
    assert answers_to_strangers(one.server) < 20
    one.reload("throttle = 0\n")
    assert answers_to_strangers(one.server) == 40
    one.reload("throttle = 2\n")
    assert answers_to_strangers(one.server) < 20
    one.close()


def a_nonce_key_is_shared_and_changed():
    alice, first, second = "turn-user = alice:sesame\n", "a" * 16, "b" * 16
    one = Configured(alice + f"turn-nonce-key = {first}\n")
    other = Configured(alice + f"turn-nonce-key = {second}\nturn-nonce-key = {first}\n")
    alone = Configured(alice)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def at(server, nonce_of=None):
        """A client of that server with a nonce that another one gave it."""
        new = Client(sock, "alice", "sesame")
        if nonce_of is not None:
            new.realm, new.nonce = nonce_of.realm, nonce_of.nonce
        sock.connect(("127.0.0.1", server.server.stun))
        return new

    def code_without_challenge(new):
        answer = new.once(REFRESH, attribute(LIFETIME, bytes(4)))
        if answer.kind == REFRESH | 0x0100:
            return 0
        return answer.attributes[ERROR][2] * 100 + answer.attributes[ERROR][3]

    asked = at(one)
    assert code_of(asked.refresh, 0) == 437  # nobody's 5-tuple; now it has a nonce
    assert code_without_challenge(at(other, asked)) == 437
    assert code_without_challenge(at(alone, asked)) == 438
    there = at(other)
    assert code_of(there.refresh, 0) == 437
    assert code_without_challenge(at(one, there)) == 438
    one.reload(alice + f"turn-nonce-key = {first}\nturn-nonce-key = {second}\n")
    until = time.monotonic() + 10
    while code_without_challenge(at(one, there)) != 437:
        assert time.monotonic() < until
    one.reload(alice + f"turn-nonce-key = {second}\n")
    until = time.monotonic() + 10
    while code_without_challenge(at(one, asked)) != 437:  # replaced just now: still good
        assert time.monotonic() < until
    one.reload(alice + f"turn-nonce-key = {second}\n")
    until = time.monotonic() + 10
    while code_without_challenge(at(one, asked)) != 438:
        assert time.monotonic() < until
    one.reload(alice + "turn-nonce-key = short\n", "reload_failed")
    assert first not in one.server.logged() and second not in one.server.logged()
    for server in (one, other, alone):
        server.close()
    sock.close()


def a_secret_in_a_file_is_read_again():
    """As docs/operating.md begins: the file is where nothing else of the server's is."""
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    os.chmod(folder, 0o755)
    file = os.path.join(folder, "turn.secret")

    def write(secret):
        with open(file + ".new", "w") as new:
            new.write(secret + "\n")
        if os.geteuid() == 0:
            os.chown(file + ".new", 0, pwd.getpwnam("nobody").pw_gid)
        os.chmod(file + ".new", 0o640)
        os.rename(file + ".new", file)

    def outcome(secret):
        name = f"{int(time.time()) + 3600}:alice"
        made = hmac.new(secret.encode(), name.encode(), "sha1").digest()
        one = client(server, name, base64.b64encode(made).decode())
        return code_of(one.allocate)

    write("north")
    server = Server("--turn-secret", "@" + file, "--turns", "0", "--relay-ports", "20000-29999")
    assert outcome("north") == 0 and outcome("south") == 401
    write("south")
    server.signal(signal.SIGHUP)
    server.wait_for_log(" reload ", 10)
    until = time.monotonic() + 10
    while (outcome("north"), outcome("south")) != (401, 0):
        assert time.monotonic() < until, server.logged()
    server.close()
    shutil.rmtree(folder)


def challenge(server):
    """What somebody without credentials is told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        request = struct.pack("!HHI12s", 0x0003, 8 + 36, 0x2112A442, os.urandom(12))
        # REQUESTED-TRANSPORT, and SOFTWARE: too short a request would get no answer
        sock.sendto(request + attribute(0x0019, bytes([17, 0, 0, 0])) + attribute(0x8022, b"x" * 32),
                    ("127.0.0.1", server.stun))
        return sock.recv(2000)


def keys_of_tokens_change():
    """RFC 7635: THIRD-PARTY-AUTHORIZATION is offered as long as there are any."""
    user, offer = "turn-user = alice:sesame\n", struct.pack("!HH", 0x802E, len("bodkin")) + b"bodkin"
    c = Configured(user)
    assert offer not in challenge(c.server)
    key = "turn-token-key = north:" + base64.b64encode(bytes(32)).decode() + "\n"
    for text, offered in ((user + key, True), (user, False)):
        c.reload(text)
        until = time.monotonic() + 10  # workers take it up when they wake
        while (offer in challenge(c.server)) != offered:
            assert time.monotonic() < until, text
            time.sleep(0.05)
    c.reload(user + "turn-token-key = north:short\n", "reload_failed")
    assert "restart_needed" not in c.server.logged()
    c.close()


run([users_limits_and_filters_change, keys_of_tokens_change, a_broken_file_changes_nothing,
     a_hundred_reloads_lose_nothing, the_log_level_changes, the_throttle_changes,
     a_nonce_key_is_shared_and_changed, a_secret_in_a_file_is_read_again, clients_are_sent_elsewhere,
     a_renewed_certificate_is_read_by_itself])
