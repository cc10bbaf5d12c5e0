# SPDX-License-Identifier: MIT
"""Programs that speak the line protocol of README.md, and how two of them are crossed.

    a = await lines.start("us", [BODKIN, "ice", "--protocol"], within=scene.command("a", []))
    b = await lines.start("nice", [peer_nice])
    lines.cross(a, b)
    lines.begin(a, "controlling", [("stun:198.51.100.1",)]); lines.begin(b, "controlled", [])
    await a.wait("connected", 10)
    a.tell("send hello"); await b.wait("data", 5, "hello")
"""
import asyncio
import os
import time


class Silence(Exception):
    """What was waited for did not come; the text tells what did."""


class Peer:
    def __init__(self, name, process, log):
        self.name, self.process, self.log = name, process, log
        self.events = []  # (microseconds of its own clock, word, rest)
        self.came_at = []  # of each event, our clock
        self.handlers = {}
        self.news = asyncio.Event()
        self.reading = asyncio.ensure_future(self._read())

    async def _read(self):
        while line := await self.process.stdout.readline():
            self._take(line.decode(errors="replace").rstrip("\r\n"))
        self._take("0 ended")

    def _take(self, line):
        us, _, rest = line.partition(" ")
        word, _, args = rest.partition(" ")
        self._note("<", line)
        if not us.isdigit():
            return
        self.events.append((int(us), word, args))
        self.came_at.append(time.monotonic())
        if word in self.handlers:
            self.handlers[word](args)
        self.news.set()

    def _note(self, arrow, line):
        if self.log is not None:
            self.log.write(f"{time.monotonic():.4f} {self.name} {arrow} {line}\n")
            self.log.flush()

    def tell(self, line):
        self._note(">", line)
        try:
            self.process.stdin.write(line.encode() + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # "ended" is among the events

    def found(self, word, args=None, after=0):
        """Index of the first such event from `after` on; None: not yet."""
        for i in range(after, len(self.events)):
            if self.events[i][1] == word and (args is None or args in self.events[i][2]):
                return i
        return None

    async def wait(self, word, seconds, args=None, after=0):
        """Waits for an event, gives its index; "failed" before it counts as never."""
        until = time.monotonic() + seconds
        while True:
            at = self.found(word, args, after)
            if at is not None:
                return at
            gone = self.found("ended") is not None
            failed = self.found("failed", after=after)
            left = until - time.monotonic()
            if left <= 0 or gone or failed is not None:
                why = ("it ended" if gone else self.events[failed][2] if failed is not None
                       else f"nothing in {seconds:g} s")
                raise Silence(f"{self.name}: no {word}: {why}")
            self.news.clear()
            try:
                await asyncio.wait_for(self.news.wait(), left)
            except asyncio.TimeoutError:
                pass

    def last(self, word):
        """The rest of the last such line, or None."""
        for _, w, args in reversed(self.events):
            if w == word:
                return args
        return None

    def us(self, word, after=0):
        """When it said so first, in its own microseconds since `state creating`."""
        begun, at = self.found("state", "creating"), self.found(word, after=after)
        return None if begun is None or at is None else self.events[at][0] - self.events[begun][0]

    async def end(self):
        if self.process.returncode is None:
            self.tell("quit")
            try:
                await asyncio.wait_for(self.process.wait(), 5)
            except asyncio.TimeoutError:
                self.process.kill()
                await self.process.wait()
        await self.reading


async def start(name, argv, within=(), log=None, errors=None, env=None):
    """`within`: words to put before the command, such as "ip netns exec NAME"."""
    process = await asyncio.create_subprocess_exec(
        *within, *argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=errors or asyncio.subprocess.DEVNULL, env={**os.environ, **(env or {})})
    return Peer(name, process, log)


def _carry(a, b):
    a.handlers.update({
        "options": lambda args: b.tell("remote-options " + args),
        "credentials": lambda args: b.tell("remote-credentials " + args),
        "candidate": lambda args: b.tell("remote-candidate " + args),
        "gathered": lambda args: b.tell("end-of-candidates"),
    })


def cross(a, b):
    """Carries credentials and candidates both ways from now on, as they come."""
    _carry(a, b)
    _carry(b, a)


def begin(peer, role, servers=(), policy="all"):
    peer.tell("role " + role)
    for server in servers:
        peer.tell("server " + " ".join(server))
    peer.tell("policy " + policy)
    peer.tell("gather")
