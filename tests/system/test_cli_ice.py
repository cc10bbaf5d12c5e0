#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin ice` from outside, on loopback: descriptions by paste, by files and by the line protocol;
data, restart, events, failures in words; the password stays out of `ps`."""
import os
import subprocess
import sys
import time

from peers import Machine
from serve import run

LOCAL = ("ice", "--loopback", "-4", "--interface", "lo")


class Pair:
    """Two machines, of which `here` offers."""

    def __enter__(self):
        self.here, self.there = Machine(), Machine()
        return self

    def __exit__(self, *_):
        self.here.close()
        self.there.close()

    def files(self, *options):
        """Both sides, exchanging through files."""
        names = ("--offer-file", self.here.path("offer"), "--answer-file", self.here.path("answer"))
        return (self.here.start(*LOCAL, *names, *options),
                self.there.start(*LOCAL, *names, "--controlled", *options))


def wait_for(condition, seconds=15):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not happen"
        time.sleep(0.02)


def read_until(peer, text, seconds=15):
    """Reads its output byte for byte up to `text`, which is not lost."""
    got = b""
    while not got.endswith(text):
        part = peer.read(1, seconds)
        assert part, f"the output ended after {got!r}"
        got += part
    return got.decode()


def ends(event):
    return event["local"]["kind"], event["remote"]["kind"]


def test_files_and_events():
    """Descriptions in files, data both ways, JSON events with the pair that was selected."""
    with Pair() as pair:
        here, there = pair.files("--json")
        here.write(b"question")
        assert there.read(8) == b"question"
        there.write(b"answer")
        assert here.read(6) == b"answer"
        for peer in (here, there):
            peer.wait_for('"event":"selected"')
            peer.signal(2)
            peer.must_end(130)
            names = [e["event"] for e in peer.events()]
            for name in ("candidate", "gathered", "connected", "selected", "pair", "done"):
                assert name in names, (name, names)
        events = {e["event"]: e for e in here.events()}
        assert ends(events["selected"]) == ("host", "host"), events["selected"]
        assert events["done"]["sent"] == 1 and events["done"]["received_bytes"] == 6, events["done"]
        assert any(e["event"] == "pair" and e["selected"] for e in here.events())
        with open(pair.here.path("offer"), encoding="ascii") as f:
            offer = f.read()
        assert "a=ice-ufrag:" in offer and "a=candidate:" in offer, offer


def test_restart_through_files():
    """--restart-after on both sides, which may meet or follow each other: data goes on."""
    with Pair() as pair:
        here, there = pair.files("--json", "--restart-after", "1")
        with_restart = [here, there]
        here.write(b"before")
        assert there.read(6) == b"before"
        for peer in with_restart:
            wait_for(lambda p=peer: sum(e["event"] == "selected" for e in p.events()) >= 2)
        here.write(b"after!")
        assert there.read(6) == b"after!"


def test_end_of_input():
    """--linger ends after the input; then the other side is told that its peer is gone."""
    with Pair() as pair:
        here, there = pair.files("--linger", "1")
        here.write(b"last words")
        here.end_input()
        assert there.read(10) == b"last words"
        here.must_end(0)
        there.end_input()
        there.must_end(0)


def test_paste():
    """The offer is printed, the answer read up to an empty line; what follows it is data."""
    with Pair() as pair:
        here = pair.here.start(*LOCAL)
        here.wait_for("(?s)a=ice-pwd.*paste its answer")
        offer = "".join(line + "\n" for line in here.told().splitlines() if line.startswith("a="))
        there = pair.there.start(*LOCAL, "--controlled")
        there.write(b"\n" + offer.encode() + b"\n")
        there.wait_for("(?s)a=ice-pwd.*Give these lines")
        answer = "".join(line + "\r\n" for line in there.told().splitlines() if line.startswith("a="))
        here.write(answer.encode() + b"\r\ntyped ahead")
        assert there.read(11) == b"typed ahead"


def test_damaged_description():
    with Pair() as pair:
        for text, sentence in ((b"hello\n\n", "copy all lines"),
                               (b"a=ice-ufrag:ab\na=ice-pwd:x\n\n", "damaged"),
                               (b"a=ice-ufrag:abcd\n", "ended before the empty line")):
            peer = pair.here.start(*LOCAL)
            peer.write(text)
            peer.end_input()
            peer.must_end(15, sentence)


class Lines:
    """One side that speaks the line protocol."""

    def __init__(self, peer):
        self.peer, self.seen = peer, []

    def tell(self, line):
        self.peer.write(line.encode() + b"\n")

    def until(self, word):
        """The rest of the next line with this word; passes credentials and candidates over."""
        while True:
            time_us, got, *rest = read_until(self.peer, b"\n").rstrip("\n").split(" ", 2)
            assert time_us.isdigit()
            self.seen.append((got, rest[0] if rest else ""))
            if got == word:
                return self.seen[-1][1]

    def all(self, word):
        return [rest for got, rest in self.seen if got == word]


def cross(a, b):
    """Carries what `a` says up to "gathered" to `b`."""
    start = len(a.seen)
    a.until("gathered")
    for word, rest in a.seen[start:]:
        if word in ("options", "credentials", "candidate"):
            b.tell(f"remote-{word} {rest}")
    b.tell("end-of-candidates")


def test_protocol():
    """Every word of it: configuration, trickle, data, restart, mistakes."""
    with Pair() as pair:
        a = Lines(pair.here.start(*LOCAL, "--protocol"))
        b = Lines(pair.there.start(*LOCAL, "--protocol"))
        a.tell("send too early")
        assert "not before gather" in a.until("error")
        a.tell("nonsense")
        assert "no such word" in a.until("error")
        a.tell("server http://x")
        assert "must begin with" in a.until("error")
        for side, role in ((a, "controlling"), (b, "controlled")):
            side.tell("role " + role)
            side.tell("gather")
        cross(a, b)
        cross(b, a)
        for side in (a, b):
            side.until("connected")
        a.tell("send hello there")
        assert b.until("data") == "hello there"
        b.tell("send back\\slash")
        assert a.until("data") == "back\\x5cslash"
        assert "renomination" in a.all("options")[-1].split()
        first = a.all("credentials")[-1]
        a.tell("restart")
        cross(a, b)
        cross(b, a)
        for side in (a, b):
            side.until("connected")
        assert a.all("credentials")[-1] != first
        a.tell("send again")
        assert b.until("data") == "again"
        a.tell("role controlled")
        assert "not after gather" in a.until("error")
        for side in (a, b):
            side.tell("quit")
            side.peer.must_end(0)


def test_mistakes():
    """Wrong command lines are status 2 and one sentence."""
    with Pair() as pair:
        run_ = pair.here.run
        run_("ice", "--policy", "some").must_end(2, "all, public or relay")
        run_("ice", "--server", "http://x").must_end(2, "must begin with stun:")
        run_("ice", "--server", "turn:x").must_end(2, "--user and --password")
        run_("ice", "--controlling", "--controlled").must_end(2, "exclude")
        run_("ice", "-4", "-6").must_end(2, "exclude")
        run_("ice", "--fd", "3").must_end(2, "two descriptors")
        run_("ice", "--offer-file", "x").must_end(2, "belong together")
        run_("ice", "--port", "70000").must_end(2, "65535")
        run_("ice", "--password", "@/nowhere/x").must_end(2, "cannot be read")
        run_("ice", "--server", "stun:[", "--protocol", stdin=subprocess.DEVNULL).must_end(0)


def test_password_not_in_ps():
    """Neither the command line nor the environment of children shows it."""
    with Pair() as pair:
        secret = "correct-horse"
        for words, env in ((("--password", secret), {}), (("--password=" + secret,), {}),
                           ((), {"BODKIN_ICE_PASSWORD": secret})):
            peer = pair.here.start(*LOCAL, "--protocol", "--server", "turn:127.0.0.1:1", "--user", "u",
                                   *words, env=env)
            peer.write(b"nonsense\n")
            read_until(peer, b"\n")  # it has read its options by now
            with open(f"/proc/{peer.process.pid}/cmdline", "rb") as f:
                assert secret.encode() not in f.read()
            peer.end_input()
            peer.must_end(0)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    wanted = sys.argv[1:]
    run([test for name, test in sorted(globals().items())
         if name.startswith("test_") and (not wanted or name in wanted)])
