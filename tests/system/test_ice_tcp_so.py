#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TCP simultaneous open (RFC 6544) through real Linux NATs that let no UDP through, and nothing in
that was not asked for: two agents connect, by nothing but the requests that cross between the
NATs, and talk. A STUN server tells the agents what their ports look like."""
import asyncio
import os
import socket
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "interop", "ice"), HERE]
import kernel_nat  # noqa: E402
import lab  # noqa: E402
import lines  # noqa: E402

BODKIN = os.environ.get("BODKIN", "bodkin")
PORT = 3478
SERVER = f"stun:{lab.SERVER}:{PORT}?transport=tcp"


async def answer(reader, writer):
    """XOR-MAPPED-ADDRESS, RFC 8489 sections 5 and 14.2."""
    address, port = writer.get_extra_info("peername")
    try:
        while request := await reader.readexactly(20):
            xored = struct.pack("!BBHI", 0, 1, port ^ 0x2112,
                                struct.unpack("!I", socket.inet_aton(address))[0] ^ 0x2112A442)
            writer.write(struct.pack("!HH", 0x0101, 12) + request[4:] +
                         struct.pack("!HH", 0x0020, 8) + xored)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def serve():
    server = await asyncio.start_server(answer, lab.SERVER, PORT)
    print("ready", flush=True)
    await server.serve_forever()


def so_end(peer):
    """Its simultaneous-open candidate outside, as `selected` would name it."""
    lines_told = [args.split() for _, word, args in peer.events if word == "candidate"]
    outside = [c for c in lines_told if "srflx" in c and c[-1] == "so"]
    assert len(outside) == 1, lines_told
    return f"srflx/tcp/{outside[0][4]}/{outside[0][5]}"


async def connects(scene):
    peers = []
    for name in lab.HOSTS:
        peers.append(await lines.start(name, [BODKIN, "ice", "--protocol", "--tcp", "-4"],
                                       within=scene.within(name)))
    lines.cross(*peers)
    for peer, role in zip(peers, ("controlling", "controlled")):
        lines.begin(peer, role, [(SERVER,)])
    for peer in peers:
        await peer.wait("selected", 15)
    ends = [so_end(peer) for peer in peers]
    for peer in peers:  # no other type gets in
        assert all(end in peer.last("selected") for end in ends), peer.events
    peers[0].tell("send there")
    peers[1].tell("send and back")
    await peers[1].wait("data", 10, "there")
    await peers[0].wait("data", 10, "and back")
    took = [peer.us("connected") for peer in peers]
    for peer in peers:
        await peer.end()
    return took


def main():
    if sys.argv[1:] == ["serve"]:
        asyncio.run(serve())
    kernel_nat.need()
    with lab.Lab(f"so{os.getpid()}", "noudp") as scene:
        server = scene.popen("server", [sys.executable, os.path.abspath(__file__), "serve"],
                             stdout=subprocess.PIPE)
        assert server.stdout.readline() == b"ready\n"
        print("connected after", asyncio.run(connects(scene)), "us")
    return 0


if __name__ == "__main__":
    sys.exit(main())
