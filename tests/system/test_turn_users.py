#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may use the relay: users of the command line, of a file, of a data base, and by time-limited
names; and that no secret is seen anywhere."""
import base64
import hashlib
import hmac
import os
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
from serve import BODKIN, Server, run
from turn import Client, Refused

# Ports that nobody is given unasked: the answer would wait for a retransmission, which none is here.
PORTS = ("--turns", "0", "--relay-ports", "20000-29999")
LOOPBACK = ("--allow-peer", "127.0.0.0/8", *PORTS)


def client(server, user, password):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", server.stun))
    return Client(sock, user, password)


def outcome(server, user, password):
    """0, or the code that the server refuses an allocation with."""
    one = client(server, user, password)
    try:
        one.allocate()
        one.refresh(0)
        return 0
    except Refused as refused:
        return refused.code


def rest(secret, name):
    return base64.b64encode(hmac.new(secret.encode(), name.encode(), "sha1").digest()).decode()


def bodkin_user(*words, password=None):
    return subprocess.run([BODKIN, "user", *words], input=password, capture_output=True, text=True,
                          timeout=60)


def users_of_the_command_line():
    key = hashlib.md5(b"keyed:bodkin:opensesame").hexdigest()
    server = Server("--turn-user", "alice:sesame", "--turn-user", f"keyed:0x{key}", *LOOPBACK)
    assert outcome(server, "alice", "sesame") == 0
    assert outcome(server, "alice", "simsim") == 401
    assert outcome(server, "mallory", "sesame") == 401
    assert outcome(server, "keyed", "opensesame") == 0
    assert "sesame" not in server.logged()
    with open(f"/proc/{server.process.pid}/cmdline") as line:
        seen = line.read()
    assert "sesame" not in seen and key not in seen, seen
    server.close()


def time_limited_names():
    server = Server("--turn-secret", "north", "--turn-secret", "south", *LOOPBACK)
    soon, past = int(time.time()) + 3600, int(time.time()) - 10
    for secret in ("north", "south"):
        for name in (f"{soon}:bob", str(soon)):
            assert outcome(server, name, rest(secret, name)) == 0, (secret, name)
    name = f"{soon}:bob"
    assert outcome(server, name, rest("west", name)) == 401
    assert outcome(server, f"{soon + 1}:bob", rest("north", name)) == 401
    assert outcome(server, f"{past}:bob", rest("north", f"{past}:bob")) == 401
    assert outcome(server, "bob", rest("north", "bob")) == 401
    server.close()


def an_allocation_outlives_its_name():
    server = Server("--turn-secret", "north", *LOOPBACK)
    name = f"{int(time.time()) + 2}:bob"
    one = client(server, name, rest("north", name))
    one.allocate()
    time.sleep(2.2)
    one.refresh(600)
    assert outcome(server, name, rest("north", name)) == 401
    server.close()


def users_of_a_data_base_come_and_go():
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    file = os.path.join(folder, "users.db")
    assert bodkin_user("list", "--db", file).returncode == 4
    for name in ("alice", "bob"):
        done = bodkin_user("add", name, "--db", file, "--allocations-max", "1", password="sesame\n")
        assert done.returncode == 0 and not done.stdout + done.stderr, done
    listed = bodkin_user("list", "--db", file).stdout
    assert [line.split()[0] for line in listed.splitlines()] == ["#", "alice", "bob"], listed
    server = Server("--users", file, *LOOPBACK)
    assert outcome(server, "alice", "sesame") == 0
    assert outcome(server, "carol", "sesame") == 401
    first = client(server, "bob", "sesame")
    first.allocate()
    assert outcome(server, "bob", "sesame") == 486  # a limit of his own
    bodkin_user("add", "carol", "--db", file, password="tahini\n")
    bodkin_user("remove", "alice", "--db", file)
    until = time.monotonic() + 10
    while outcome(server, "carol", "tahini") != 0 or outcome(server, "alice", "sesame") != 401:
        assert time.monotonic() < until, "the server does not see the change"
        time.sleep(0.2)
    with open(file, "rb") as data:
        assert b"sesame" not in data.read()
    assert "sesame" not in server.logged()
    server.close()


def mistakes_are_told():
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    file = os.path.join(folder, "users.db")
    for words, code in ((["add", "x", "--db", file], 2), (["remove", "x", "--db", file], 4),
                        (["frobnicate"], 2), ([], 2), (["add", "", "--db", file], 2)):
        done = bodkin_user(*words, password="")
        assert done.returncode == code and len(done.stderr.splitlines()) == 1, (words, done)
    for options in (["--turn-user", "alice"], ["--users", "/nowhere/users.db"],
                    ["--turn-user", "a:b", "--turn-user", "a:c"]):
        done = subprocess.run([BODKIN, "serve", "--listen", "127.0.0.1", "--https", "0", "--stun",
                               "0", "--state", folder, *options], capture_output=True, text=True,
                              timeout=60)
        assert done.returncode != 0 and done.stderr.splitlines()[-1].startswith("bodkin serve: ")


run([users_of_the_command_line, time_limited_names, an_allocation_outlives_its_name,
     users_of_a_data_base_come_and_go, mistakes_are_told])
