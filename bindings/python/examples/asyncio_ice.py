# SPDX-License-Identifier: MIT
"""Two agents in one process find each other and talk: the sans-IO core driven by asyncio."""

import asyncio

from bodkin import Ice


class Driver(asyncio.DatagramProtocol):
    def __init__(self, ice):
        self.ice, self.timer = ice, None
        self.connected, self.inbox = asyncio.Event(), asyncio.Queue()

    def connection_made(self, transport):
        self.transport, self.local = transport, transport.get_extra_info("sockname")[:2]
        self.run(self.ice.add_base, self.local)
        self.run(self.ice.gather)

    def datagram_received(self, data, remote):
        message = self.run(self.ice.receive, data, self.local, remote[:2])
        if message is not None:
            self.inbox.put_nowait(message)

    def run(self, call, *args):  # any call into the agent; then what it wants
        result, loop = call(*args), asyncio.get_running_loop()
        for data, _, remote in self.ice.datagrams():
            self.transport.sendto(data, remote)
        if any(event.kind == "connected" for event in self.ice.events()):
            self.connected.set()
        if self.timer:
            self.timer.cancel()
        wait = self.ice.wait()
        self.timer = None if wait is None else loop.call_later(wait, self.run, self.ice.advance)
        return result


async def main():
    loop = asyncio.get_running_loop()
    a, b = [(await loop.create_datagram_endpoint(lambda: Driver(Ice(controlling)),
                                                 ("127.0.0.1", 0)))[1]
            for controlling in (True, False)]
    a.run(a.ice.set_remote, b.ice.describe())  # your signalling would be between these two
    b.run(b.ice.set_remote, a.ice.describe())
    await asyncio.gather(a.connected.wait(), b.connected.wait())
    data, _, remote = a.ice.send(b"hello over a path that was proven")
    a.transport.sendto(data, remote)
    print((await b.inbox.get()).decode())

asyncio.run(main())
