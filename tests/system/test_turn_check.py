#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin serve --check` and `--import`."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
from serve import BODKIN, run


def serve(*words):
    return subprocess.run([BODKIN, "serve", *words], capture_output=True, text=True, timeout=60)


def write(name, text):
    path = os.path.join(tempfile.mkdtemp(prefix="bodkin-test-"), name)
    with open(path, "w") as file:
        file.write(text)
    return path


def what_would_happen_is_told():
    done = serve("--check", "--turn-user", "alice:sesame", "--turn-secret", "north",
                 "--relay-address", "127.0.0.1=203.0.113.4", "--allow-peer", "10.0.0.0/8",
                 "--stun", "3500")
    assert done.returncode == 0 and done.stderr == "", done
    for text in ("port 3500", "TURN: on", "1 users, 1 secrets", "127.0.0.1, clients are told "
                 "203.0.113.4", "and 10.0.0.0/8", "self-signed"):
        assert text in done.stdout, (text, done.stdout)
    assert "sesame" not in done.stdout and "north" not in done.stdout
    done = serve("--check")
    assert done.returncode == 0 and "TURN: off" in done.stdout, done


def every_mistake_is_told_with_its_place():
    path = write("bodkin.conf", "stun = 3500\ncolour = blue\nworkers = many\n"
                 "turn-user = alice:sesame\nturn-user = bob\ncert = /nowhere/cert.pem\n"
                 "relay-address = 192.0.2.77\nusers = /nowhere/users.db\n")
    done = serve("--check", "--config", path)
    assert done.returncode == 4, done
    for line in (2, 3, 5):
        assert f"bodkin.conf, line {line}: " in done.stderr, done.stderr
    for what in ("cert: ", "192.0.2.77: that is no address of this machine", "/nowhere/users.db"):
        assert any(line.startswith("wrong: ") and what in line
                   for line in done.stdout.splitlines()), (what, done.stdout)
    assert "sesame" not in done.stdout + done.stderr


def a_start_that_cannot_be_says_what_to_do():
    """In one sentence, with the option's name."""
    state = ("--state", tempfile.mkdtemp(prefix="bodkin-test-"), "--listen", "127.0.0.1", "--https", "0",
             "--stun", "0", "--turns", "0")
    no_equals = write("bodkin.conf", "stun = 0\nturn-user alice:sesame\n")
    for words, said in (
            (("--turn-user", "a:b", "--relay-address", "192.0.2.77"),
             "relay-address: 192.0.2.77 is no address of this machine; behind a one-to-one NAT it is "),
            (("--realm", "x" * 29), "is not a text of 1 to 28 bytes"),
            (("--users-url", "gopher://x"), "users-url: not http://HOST[:PORT]/PATH or https://"),
            (("--config", no_equals), "line 2: that is not OPTION = VALUE"),
            *([(("--user", "no-such-user"), "--user: there is no user of that name: no-such-user")]
              if os.geteuid() == 0 else [])):
        done = serve(*state, *words)
        assert done.returncode != 0 and said in done.stderr, (words, done)
        assert done.stderr.splitlines()[-1].startswith("bodkin serve: "), done.stderr
        assert "sesame" not in done.stderr


def the_helps_fit_a_screen():
    for word in ("--help", "--help-turn", "--help-more"):
        done = serve(word)
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and max(map(len, lines)) <= 80, (word, lines)
        assert len(lines) <= (32 if word == "--help-turn" else 25), (word, len(lines))


def a_coturn_configuration_becomes_ours():
    theirs = write("turnserver.conf", """
listening-port=3500
tls-listening-port=5500
fingerprint
lt-cred-mech
use-auth-secret
static-auth-secret=north
realm=example.org
user-quota=12
max-bps=64000
no-cli
pidfile="/var/run/turnserver.pid"
denied-peer-ip=10.0.0.0-10.255.255.255
denied-peer-ip=8.8.8.0-8.8.8.255
cli-password=qwerty
userdb=/var/lib/turn/turndb
""")
    done = serve("--import", theirs)
    assert done.returncode == 0, done
    ours = done.stdout
    for line in ("stun = 3500", "turns = 5500", "turn-secret = north", "realm = example.org",
                 "user-allocations-max = 12", "bandwidth = 512000", "deny-peer = 8.8.8.0/24"):
        assert line in ours.splitlines(), (line, ours)
    assert "10.0.0.0" not in ours  # refused anyway
    told = [line for line in done.stderr.splitlines() if line.startswith("line ")]
    assert len(told) == 2 and "cli-password" in told[0] and "userdb" in told[1], done.stderr
    assert "qwerty" not in done.stderr
    checked = serve("--check", "--config", write("bodkin.conf", ours))
    assert checked.returncode == 0 and "port 5500" in checked.stdout, checked
    assert serve("--import", "/nowhere/turnserver.conf").returncode == 4


run([what_would_happen_is_told, every_mistake_is_told_with_its_place,
     a_start_that_cannot_be_says_what_to_do, the_helps_fit_a_screen,
     a_coturn_configuration_becomes_ours])
