#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""aioice behind the line protocol of README.md. It tells its candidates when all are gathered, and
begins to check when it has all of the other side's: its connect() would not check later ones by
itself. It has no restart.

    peer_aioice.py [--address IP]...
"""
import asyncio

import aioice
from aioice import ice
from line_peer import LinePeer, addresses_of_argv, main


def end(candidate):
    return f"{candidate.type}/{candidate.transport.lower()}/{candidate.host}/{candidate.port}"


class Peer(LinePeer):
    connection = None
    tasks = ()

    async def on_gather(self, _args):
        self.say("state", "creating")
        where = {}
        if self.stun:
            where["stun_server"] = self.stun
        if self.turn:
            host, port, transport, tls, user, password = self.turn
            where.update(turn_server=(host, port), turn_transport=transport, turn_ssl=tls,
                         turn_username=user, turn_password=password)
        if self.relay_only:
            where["transport_policy"] = aioice.TransportPolicy.RELAY
            where.pop("stun_server", None)  # it would bring server-reflexive ones
        self.connection = aioice.Connection(self.role == "controlling", **where)
        self.say("credentials", self.connection.local_username, self.connection.local_password)
        self.tasks = [asyncio.ensure_future(self._gather())]
        self.gathered, self.all_known = asyncio.Event(), asyncio.Event()
        self.tasks.append(asyncio.ensure_future(self._connect()))

    async def _gather(self):
        await self.connection.gather_candidates()
        for c in self.connection.local_candidates:
            self.say("candidate", "candidate:" + c.to_sdp())
        self.say("gathered")
        self.gathered.set()

    async def _connect(self):
        await self.gathered.wait()
        await self.all_known.wait()
        self.say("state", "checking")
        try:
            await self.connection.connect()
        except ConnectionError as e:
            self.say("failed", e)
            return
        self.say("state", "connected")
        self.say("connected")
        pair = self.connection._nominated.get(1)
        if pair:
            self.say("selected", end(pair.local_candidate), end(pair.remote_candidate))
        await self._receive()

    async def _receive(self):
        while True:
            try:
                data = await self.connection.recv()
            except ConnectionError:
                self.say("failed consent is gone")
                return
            self.say_data(data)

    def on_remote_credentials(self, args):
        if self.connection.remote_username:
            self.say("error no restart")
            return
        self.connection.remote_username, self.connection.remote_password = args.split(" ")

    async def on_remote_candidate(self, args):
        text = args[2:] if args.startswith("a=") else args
        c = aioice.Candidate.from_sdp(text.removeprefix("candidate:"))
        await self.connection.add_remote_candidate(c)

    async def on_end_of_candidates(self, _args):
        if not self.all_known.is_set():
            await self.connection.add_remote_candidate(None)
            self.all_known.set()

    async def on_send(self, args):
        await self.connection.send(args.encode())

    async def close(self):
        for task in self.tasks:
            task.cancel()
        if self.connection:
            await self.connection.close()


if __name__ == "__main__":
    if only := addresses_of_argv():
        ice.get_host_addresses = lambda use_ipv4, use_ipv6: only
    main(Peer)
