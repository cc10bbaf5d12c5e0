#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""aiortc's RTCIceTransport (over aioice) behind the line protocol of README.md: its own reading and
writing of candidates and servers. Neither relay-only nor a restart: it has no such things.

    peer_aiortc.py [--address IP]...
"""
import asyncio

from aioice import ice
from aiortc import RTCIceCandidate, RTCIceGatherer, RTCIceParameters, RTCIceServer, RTCIceTransport
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp
from line_peer import LinePeer, addresses_of_argv, main
from peer_aioice import end


class Peer(LinePeer):
    gatherer = transport = remote = None

    def __init__(self):
        super().__init__()
        self.servers, self.tasks = [], []
        self.gathered, self.all_known = asyncio.Event(), asyncio.Event()

    def on_server(self, args):
        uri, user, password = (args.split(" ") + ["", ""])[:3]
        self.servers.append(RTCIceServer(urls=[uri], username=user or None,
                                         credential=password or None))

    def on_gather(self, _args):
        self.say("state", "creating")
        self.gatherer = RTCIceGatherer(self.servers)
        self.transport = RTCIceTransport(self.gatherer)
        self.transport._connection.ice_controlling = self.role == "controlling"
        self.transport.on("statechange", self._state)
        ours = self.gatherer.getLocalParameters()
        self.say("credentials", ours.usernameFragment, ours.password)
        self.tasks = [asyncio.ensure_future(self._gather()), asyncio.ensure_future(self._start())]

    async def _gather(self):
        await self.gatherer.gather()
        for c in self.gatherer.getLocalCandidates():
            self.say("candidate", "candidate:" + candidate_to_sdp(c))
        self.say("gathered")
        self.gathered.set()

    async def _start(self):
        await self.gathered.wait()
        await self.all_known.wait()
        await self.transport.start(self.remote)
        pair = self.transport._connection._nominated.get(1)
        if not pair:
            return
        self.say("connected")
        self.say("selected", end(pair.local_candidate), end(pair.remote_candidate))
        try:
            while True:
                self.say_data(await self.transport._recv())
        except ConnectionError:
            self.say("failed consent is gone")

    def _state(self):
        self.say("state", self.transport.state)
        if self.transport.state == "failed":
            self.say("failed aiortc says so")

    def on_remote_credentials(self, args):
        if self.remote:
            self.say("error no restart")
            return
        ufrag, password = args.split(" ")
        self.remote = RTCIceParameters(usernameFragment=ufrag, password=password)

    async def on_remote_candidate(self, args):
        text = args[2:] if args.startswith("a=") else args
        c: RTCIceCandidate = candidate_from_sdp(text.removeprefix("candidate:"))
        await self.transport.addRemoteCandidate(c)

    async def on_end_of_candidates(self, _args):
        if not self.all_known.is_set():
            await self.transport.addRemoteCandidate(None)
            self.all_known.set()

    async def on_send(self, args):
        await self.transport._send(args.encode())

    async def close(self):
        for task in self.tasks:
            task.cancel()
        if self.transport:
            await self.transport.stop()


if __name__ == "__main__":
    if only := addresses_of_argv():
        ice.get_host_addresses = lambda use_ipv4, use_ipv6: only
    main(Peer)
