#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin listen` and `bodkin connect` as a pipe, from outside: bytes, ends, interrupts, failures."""
import fcntl
import hashlib
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time

from peers import Machine
from serve import BODKIN, Server, run

MB = 1000 * 1000


class Scene:
    """A home server and two machines."""

    def __enter__(self):
        self.server = Server()
        self.here, self.there = Machine(), Machine()
        return self

    def __exit__(self, *_):
        self.here.close()
        self.there.close()
        self.server.kill()

    def listen(self, *options, machine=None, **how):
        return (machine or self.there).start("listen", "--home", self.server.home, *options, **how)

    def connect(self, ticket, *options, **how):
        return self.here.start("connect", *options, ticket, **how)

    def pair(self, *options, listen={}, connect={}):
        listener = self.listen(*options, **listen)
        return listener, self.connect(listener.ticket(), *options, **connect)


def test_files_both_ways():
    """Each side sends a file at the same time; both arrive whole, and both end with 0."""
    with Scene() as scene:
        data = {name: os.urandom(3 * MB) for name in ("up", "down")}
        for name, content in data.items():
            with open(scene.here.path(name), "wb") as f:
                f.write(content)
        with (open(scene.here.path("down"), "rb") as down, open(scene.here.path("up"), "rb") as up,
              open(scene.there.path("got"), "wb") as there, open(scene.here.path("got"), "wb") as here):
            listener, connector = scene.pair(listen={"stdin": down, "stdout": there},
                                             connect={"stdin": up, "stdout": here})
            connector.must_end(0)
            listener.must_end(0)
        assert scene.there.digest("got") == hashlib.sha256(data["up"]).digest()
        assert scene.here.digest("got") == hashlib.sha256(data["down"]).digest()
        assert connector.told() == "", "silent when it is not a terminal"
        assert re.fullmatch(r"ticket: bodkin1[a-z2-7]+\n", listener.told())


def test_half_close():
    """The listener answers after it has seen the end of what the connector sent."""
    with Scene() as scene:
        listener, connector = scene.pair()
        connector.write(b"question")
        connector.end_input()
        assert listener.read(100) == b"question"
        listener.write(b"answer")
        listener.end_input()
        listener.must_end(0)
        connector.must_end(0)
        assert connector.output == b"answer"


def test_empty_both_ways():
    with Scene() as scene:
        null = {"stdin": subprocess.DEVNULL}
        listener, connector = scene.pair(listen=null, connect=null)
        connector.must_end(0)
        listener.must_end(0)
        assert (listener.output, connector.output) == (b"", b"")


def test_reader_goes_away():
    """`bodkin listen | head -c 10`: the sender is told in words and does not go on for ever."""
    with Scene() as scene:
        listener, connector = scene.pair(listen={"stdin": subprocess.DEVNULL})
        writer = subprocess.Popen(["cat", "/dev/zero"], stdout=connector.process.stdin)
        connector.end_input()
        try:
            assert listener.read(10) == b"\0" * 10
            listener.process.stdout.close()
            listener.process.stdout = None
            listener.must_end(1, "standard output is closed")
            connector.must_end(1, "the peer stopped reading")
        finally:
            writer.kill()
            writer.wait()


def test_interrupts():
    """SIGINT ends that side with 130, and the other side with a sentence and a failure."""
    with Scene() as scene:
        for breaker in (0, 1):
            peers = scene.pair()
            peers[1].write(b"x")
            assert peers[0].read(1) == b"x"
            peers[breaker].signal(signal.SIGINT)
            start = time.monotonic()
            peers[breaker].must_end(130)
            peers[1 - breaker].must_end(9, "the peer was interrupted")
            assert time.monotonic() - start < 5
        waiting = scene.listen()
        waiting.ticket()
        waiting.signal(signal.SIGTERM)
        waiting.must_end(143)


def test_slow_reader():
    """A sender is slowed down to its reader's pace; neither side hoards."""
    with Scene() as scene:
        listener, connector = scene.pair(listen={"stdin": subprocess.DEVNULL})
        writer = subprocess.Popen(["head", "-c", "400000000", "/dev/zero"],
                                  stdout=connector.process.stdin)
        connector.end_input()
        try:
            assert len(listener.read(MB)) == MB
            before = [p.memory_kib() for p in (listener, connector)]
            time.sleep(4)
            after = [p.memory_kib() for p in (listener, connector)]
            assert writer.poll() is None, "400 MB cannot have left"
            assert all(a < 400 * 1024 for a in after), (before, after)
            assert all(a - b < 150 * 1024 for a, b in zip(after, before)), (before, after)
        finally:
            writer.kill()
            writer.wait()


def source(name):
    with open(os.path.join(os.environ["SOURCE_DIR"], name)) as f:
        return f.read()


def manual(section):
    """The tags of a section's list in bodkin(1)."""
    text = source("docs/man/bodkin.1").split(f".Sh {section}\n")[1].split("\n.Sh ")[0]
    return set(re.findall(r"^\.It (?:Cm )?(\S+)$", text, re.M))


def test_manual_has_all():
    """Every exit status, every event and every option of --help stands in the manual."""
    codes = set(re.findall(r"EXIT_\w+ = (\d+)", source("cli/command.h"))) - {"128"}
    assert codes == manual("EXIT STATUS"), codes ^ manual("EXIT STATUS")
    written = "".join(source(f"cli/{name}.c") for name in
                      ("agent", "talk", "forwarder", "forward_server", "listen", "ping", "report"))
    names = set(re.findall(r'report_event\([^;"]*"([\w-]+)"', written)) | {"home", "home-lost"}
    assert names == manual("JSON EVENTS"), names ^ manual("JSON EVENTS")
    for command, page, help_ in [
            (command, source("docs/man/bodkin.1"), "--help")
            for command in ("id", "listen", "connect", "ping")] + [
            ("serve", source("docs/man/bodkin-serve.1"), help_)
            for help_ in ("--help", "--help-turn", "--help-more")]:
        shown = subprocess.run([BODKIN, command, help_], capture_output=True, text=True).stdout
        for option in set(re.findall(r"^ +(?:-\w, +)?--([\w-]+)", shown, re.M)) - {"help"}:
            assert re.search(rf"Fl -{option}\b(?!-)", page), (command, option)


def test_json_events():
    """--json: one object a line, with the names and fields of the manual."""
    with Scene() as scene:
        listener, connector = scene.pair("--json", connect={"stdin": subprocess.DEVNULL})
        connector.wait_for('"direct"')
        listener.write(b"12345")
        listener.end_input()
        connector.must_end(0)
        listener.must_end(0)
        for peer in (listener, connector):
            events = peer.events()
            names = {e["event"] for e in events}
            assert names <= manual("JSON EVENTS"), names
            assert {"home", "session", "secured", "path", "done"} <= names, names
            assert all(e["after_ms"] >= 0 for e in events)
            kinds = [e["kind"] for e in events if e["event"] == "path"]
            assert kinds[-1] == "direct", kinds
            done = events[-1]
            assert done["event"] == "done" and done["path"] == "direct", done
            assert done["bytes"] == 5 == done["sent"] + done["received"], done
        direct = next(e for e in connector.events() if e.get("kind") == "direct")
        assert {"local", "remote"} <= direct.keys(), direct
        relayed = next(e for e in connector.events() if e.get("kind") == "relayed")
        assert {"why", "reason"} <= relayed.keys(), relayed


def flip(ticket, at):
    letter = "a" if ticket[at] != "a" else "b"
    return ticket[:at] + letter + ticket[at + 1:]


def test_tickets():
    """Damaged: 6. Used, or of another listener at the same key: 7, in the same words."""
    with Scene() as scene:
        listener, connector = scene.pair()
        ticket = listener.ticket()
        connector.write(b"x")
        assert listener.read(1) == b"x"
        for bad in (flip(ticket, 40), ticket[:-3], ticket + "aaaa"):
            scene.here.run("connect", bad).must_end(6, "the ticket is damaged")
        scene.here.run("connect", "nonsense").must_end(6, "not a ticket")
        scene.here.run("connect", "@" + scene.here.path("none")).must_end(6, "No such file")
        for name, text in (("empty", ""), ("long", "x" * 5000)):
            with open(scene.here.path(name), "w", encoding="ascii") as f:
                f.write(text)
        scene.here.run("connect", "@" + scene.here.path("empty")).must_end(6, "no line in it")
        scene.here.run("ping", "@" + scene.here.path("long")).must_end(6, "too long")
        third = Machine()
        used = third.run("connect", ticket)
        used.must_end(7, "ask for a new one")
        listener.signal(signal.SIGINT)
        listener.finish()
        connector.finish()
        again = scene.listen()
        assert again.ticket() != ticket
        wrong = third.run("connect", ticket)
        wrong.must_end(7)
        assert wrong.told() == used.told()
        third.close()


def test_peer_not_home():
    with Scene() as scene:
        listener = scene.listen()
        ticket = listener.ticket()
        listener.signal(signal.SIGINT)
        listener.finish()
        scene.here.run("connect", ticket).must_end(8, "is bodkin listen still running")
        scene.here.run("ping", ticket).must_end(8, "is bodkin listen still running")


def test_homes():
    """No home: 3. Not a home: 2. A dead one: 5 within 12 s. Another one than the pin says: 5."""
    with Scene() as scene:
        here = scene.here
        here.run("listen").must_end(3, "bodkin serve")
        here.run("listen", "--home", "gopher://x").must_end(2, "gopher://x")
        here.run("listen", env={"BODKIN_HOME": "https://a#b"}).must_end(2, "pin")
        silent = socket.create_server(("127.0.0.1", 0))
        closed = socket.create_server(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}#{scene.server.pin}"
        closed.close()
        start = time.monotonic()
        dead = [here.start("listen", "--home", url, stdin=subprocess.DEVNULL),
                scene.there.start("listen", "--home",
                                  f"https://127.0.0.1:{silent.getsockname()[1]}#{scene.server.pin}",
                                  stdin=subprocess.DEVNULL)]
        for peer in dead:
            peer.must_end(5, "cannot be used")
        assert time.monotonic() - start < 13
        silent.close()
        start = time.monotonic()
        url = f"https://127.0.0.1:{scene.server.https}#{'A' * 43}"
        here.run("listen", "--home", url).must_end(5, "does not match the pin")
        assert time.monotonic() - start < 4, "no patience cures this"
        url = f"https://no-such-host.invalid#{scene.server.pin}"  # with a pin no authorities are needed
        here.run("listen", "--home", url).must_end(5, "cannot be used")


def test_home_from_config_and_environment():
    with Scene() as scene:
        folder = scene.there.path(".config/bodkin")
        os.makedirs(folder)
        url = scene.server.home.split()[1]
        with open(os.path.join(folder, "config"), "w") as config:
            config.write(f"# where I am to be found\nhome = {url}\n")
        listener = scene.there.start("listen")
        listener.ticket()
        scene.here.start("listen", env={"BODKIN_HOME": url}).ticket()
        with open(os.path.join(folder, "config"), "w") as config:
            config.write("hame = nonsense\n")
        scene.there.run("listen").must_end(4, "config:1")


def test_keys():
    """A key that others can read, a damaged one, none that can be read: 4, and the key is kept."""
    with Scene() as scene:
        here = scene.here
        key = here.key()
        assert here.key() == key
        path = here.path(".config/bodkin/key")
        assert os.stat(path).st_mode & 0o777 == 0o600
        os.chmod(path, 0o640)
        here.run("id").must_end(4, "others can read it")
        os.chmod(path, 0o600)
        with open(path, "r+b") as f:
            f.seek(20)
            f.write(b"!!")
        here.run("id").must_end(4, path)
        os.unlink(path)
        os.mkdir(path)
        here.run("id").must_end(4, "not a file")
        os.rmdir(path)
        here.run("id", env={"HOME": ""}).must_end(4, "HOME")


def test_usage():
    with Scene() as scene:
        run_ = scene.here.run
        run_("frobnicate").must_end(2, "no command")
        run_().must_end(2, "Commands:")
        run_("listen", "--nonsense").must_end(2, "--nonsense is not an option")
        run_("listen", "extra").must_end(2, "one word too many")
        run_("listen", "--allow", "x", "--home", scene.server.home).must_end(2, "not a peer's key")
        run_("connect").must_end(2, "give the ticket")
        run_("connect", "--udp", "x").must_end(2, "needs -L")
        run_("ping").must_end(2, "whom")
        run_("ping", "-c", "many", "x").must_end(2, "wants a number")
        for command in ("serve", "id", "listen", "connect", "ping", "lab", "nat", "sim", "ice"):
            done = run_(command, "--help")
            lines = done.output.decode().splitlines()
            assert done.status == 0 and done.told() == ""
            assert len(lines) <= 24, f"{command} --help has {len(lines)} lines"
            assert all(len(line) <= 80 for line in lines), command
            assert any(f"bodkin {command}" in line for line in lines[:6]), command
        assert run_("--version").output.startswith(b"bodkin ")


def test_ping():
    """A ping uses no ticket up; a key is enough for a peer that allows ours, and only for it."""
    with Scene() as scene:
        listener = scene.listen("--allow", scene.here.key())
        ticket = listener.ticket()
        with open(scene.here.path("ticket"), "w", encoding="ascii") as f:
            f.write(f"  {ticket} \nmore")
        for target in ((ticket,), ("@" + scene.here.path("ticket"),),
                       (scene.there.key(), "--home", scene.server.home)):
            ping = scene.here.run("ping", *target)
            ping.must_end(0)
            lines = ping.output.decode().splitlines()
            assert re.fullmatch(r"[\d.]+ ms  direct 127.*↔ .*:\d+|[\d.]+ ms  direct .* ↔ .*", lines[-3])
            assert "direct after" in lines[-2] and lines[-1].startswith("direct by "), lines
        third = Machine()
        stranger = third.run("ping", scene.there.key(), "--home", scene.server.home)
        stranger.must_end(10, "does not know this key")
        relayed = third.run("ping", "--relay-only", "-c", "2", "-i", "50", ticket)
        relayed.must_end(0)
        assert "relayed, because: " in relayed.output.decode()
        assert "still relayed after" in relayed.output.decode()
        third.close()
        connector = scene.connect(ticket, stdin=subprocess.DEVNULL)
        listener.write(b"still good")
        listener.end_input()
        listener.must_end(0)
        connector.must_end(0)
        assert connector.output == b"still good"


def test_one_key_twice():
    """Two peers with the same home folder: the second takes a temporary key."""
    with Scene() as scene:
        listener = scene.listen(machine=scene.here)
        connector = scene.connect(listener.ticket(), stdin=subprocess.DEVNULL)
        listener.write(b"to myself")
        listener.end_input()
        listener.must_end(0)
        connector.must_end(0)
        assert connector.output == b"to myself"


def test_relay_only():
    with Scene() as scene:
        listener = scene.listen("--json", stdin=subprocess.DEVNULL)
        connector = scene.connect(listener.ticket(), "--json", "--relay-only")
        listener.wait_for('"relay-only-there"')
        connector.write(b"z" * MB)
        connector.must_end(0)
        listener.must_end(0)
        assert len(listener.output) == MB, len(listener.output)
        for peer in (listener, connector):
            kinds = {e["kind"] for e in peer.events() if e["event"] == "path"}
            assert kinds == {"relayed"}, peer.told()
            assert peer.events()[-1]["direct_bytes"] < 5000, peer.told()


def read_terminal(fd, until, seconds=15):
    """Reads from the terminal until the pattern appears."""
    text, end = "", time.monotonic() + seconds
    while not re.search(until, text):
        assert time.monotonic() < end, f"{until!r} is not in {text!r}"
        if select.select([fd], [], [], 0.1)[0]:
            try:
                text += os.read(fd, 65536).decode(errors="replace")
            except OSError:  # nobody has the other end open any more
                assert re.search(until, text), f"{until!r} is not in {text!r}"
    return text


def test_status_line():
    """On a terminal: relayed, why; then direct, both ends; then what was moved."""
    with Scene() as scene:
        listener = scene.listen(stdin=subprocess.DEVNULL)
        master, slave = pty.openpty()
        connector = subprocess.Popen([BODKIN, "connect", listener.ticket()], stdin=slave,
                                     stdout=slave, stderr=slave, env=scene.here.environment())
        os.close(slave)
        try:
            text = read_terminal(master, r"direct \S+:\d+ ↔ \S+:\d+, \d+ ms")
            assert re.search(r"relayed via https://127\.0\.0\.1:\d+\S*, \d+ ms, because: ", text), text
            os.write(master, b"typed\n")
            os.write(master, b"\x04")
            text = read_terminal(master, r"6 B sent, 0 B received in [\d.]+ s")
            assert connector.wait(10) == 0
            listener.must_end(0)
            assert listener.output == b"typed\n"
        finally:
            connector.kill()
            connector.wait()
            os.close(master)


def test_narrow_terminal():
    """A status line is never longer than the terminal: what wraps could not be taken back."""
    with Scene() as scene:
        listener = scene.listen(stdin=subprocess.DEVNULL)
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
        connector = subprocess.Popen([BODKIN, "connect", listener.ticket()], stdin=slave,
                                     stdout=slave, stderr=slave, env=scene.here.environment())
        os.close(slave)
        try:
            text = read_terminal(master, r"direct \S+")
            lines = re.split(r"\r\x1b\[K", text)
            assert len(lines) > 2 and all(len(line) < 30 for line in lines), lines
        finally:
            connector.kill()
            connector.wait()
            os.close(master)


def test_qr():
    with Scene() as scene:
        listener = scene.listen("--qr")
        listener.ticket()
        listener.wait_for("█.*\n.*█")
        lines = listener.told().splitlines()
        assert len(lines) <= 24 and all(len(line) < 80 for line in lines[1:]), "a terminal of 80x24"


if __name__ == "__main__":
    wanted = sys.argv[1:]
    run([test for name, test in sorted(globals().items())
         if name.startswith("test_") and (not wanted or name in wanted)])
