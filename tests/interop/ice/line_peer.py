# SPDX-License-Identifier: MIT
"""The line protocol of README.md for peers in Python: reads words from standard input in an asyncio
loop and hands them to the methods of the peer, on_role(), on_remote_candidate() ..."""
import asyncio
import os
import re
import sys
import time


class LinePeer:
    START = time.monotonic_ns()

    def __init__(self):
        self.role, self.relay_only = "controlling", False
        self.stun = None   # (host, port)
        self.turn = None   # (host, port, transport, tls, user, password)
        self.over = asyncio.Event()

    @classmethod
    def say(cls, *words):
        line = " ".join([str((time.monotonic_ns() - cls.START) // 1000), *map(str, words)])
        os.write(1, line.encode() + b"\n")

    @classmethod
    def say_data(cls, data):
        """One line, whatever the bytes."""
        cls.say("data", "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in data))

    def on_role(self, args):
        self.role = args

    def on_policy(self, args):
        self.relay_only = args == "relay"

    def on_server(self, args):
        uri, user, password = (args.split(" ") + ["", ""])[:3]
        found = re.fullmatch(r"(stun|turn)(s?):([^:?]+)(?::(\d+))?(?:\?transport=(\w+))?", uri)
        if not found:
            self.say("error no server:", uri)
            return
        kind, secure, host, port, transport = found.groups()
        port = int(port or (5349 if secure else 3478))
        if kind == "stun":
            self.stun = (host, port)
        else:
            self.turn = (host, port, transport or ("tcp" if secure else "udp"), bool(secure), user,
                         password)

    def on_restart(self, _args):
        self.say("error no restart")

    def on_quit(self, _args):
        self.over.set()

    async def _obey(self, line):
        word, _, args = line.partition(" ")
        method = getattr(self, "on_" + word.replace("-", "_"), None)
        if method is None:
            self.say("error unknown word:", word)
            return
        try:
            result = method(args)
            if asyncio.iscoroutine(result):
                await result
        except Exception as e:  # the peer's library is what is tested, not this program
            self.say("error", word, type(e).__name__, str(e).replace("\n", " "))

    async def _read(self):
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            await self._obey(line.decode().rstrip("\r\n"))
        self.over.set()

    async def close(self):
        pass

    async def run(self):
        reading = asyncio.ensure_future(self._read())
        await self.over.wait()
        reading.cancel()
        await self.close()


def main(peer_class):
    async def run():
        await peer_class().run()

    asyncio.run(run())


def addresses_of_argv():
    """`--address IP`, repeatable: only these."""
    return [a for b, a in zip(sys.argv, sys.argv[1:]) if b == "--address"]
