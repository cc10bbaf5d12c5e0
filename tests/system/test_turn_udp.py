#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TURN over UDP, in each of the ways sockets are driven (--io): every size, trains, many flows at
once, ECN, ICMP errors, DF, and coturn's client, where that is installed."""
import os
import shutil
import socket
import struct
import subprocess
import sys

import serve
import turn

UDP, UDP_SEGMENT = 17, 103  # linux/udp.h
ICMP_ATTRIBUTE, DONT_FRAGMENT = 0x8004, 0x001A
OPTIONS = ("--turn-user", "user:password", "--allow-peer", "127.0.0.0/8", "--turns", "0",
           "--throttle", "0")


def client_of(server):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.connect(("127.0.0.1", server.stun))
    return turn.Client(sock)


def frame(number, data):
    return struct.pack("!HH", number, len(data)) + data


def every_size(server):
    client, peer = client_of(server), turn.udp_peer()
    relayed = client.allocate()
    client.bind(0x4001, peer.getsockname())
    for size in (0, 1, 2, 3, 4, 5, 100, 1400, 2049, 9000, 60000):
        data = os.urandom(size)
        client.send_channel(0x4001, data)
        assert peer.recvfrom(65536) == (data, relayed)
        peer.sendto(data, relayed)
        assert client.data() == (0x4001, data)
    other = turn.udp_peer()
    client.send_to(other.getsockname(), b"indication")
    assert other.recvfrom(100) == (b"indication", relayed)
    other.sendto(b"odd", relayed)
    assert client.data() == (other.getsockname(), b"odd")
    client.refresh(0)


def send_train(sock, datagrams, to=None):
    """As one call where the system splits trains. All but the last one have the same size."""
    try:
        sock.setsockopt(UDP, UDP_SEGMENT, len(datagrams[0]))
    except OSError:
        for d in datagrams:
            sock.sendto(d, to) if to else sock.send(d)
        return
    sock.sendto(b"".join(datagrams), to) if to else sock.send(b"".join(datagrams))
    sock.setsockopt(UDP, UDP_SEGMENT, 0)


def trains(server):
    """Whole, with a shorter last one, and with two channels in one train."""
    client, peers = client_of(server), [turn.udp_peer(), turn.udp_peer()]
    relayed = client.allocate()
    for i, peer in enumerate(peers):
        client.bind(0x4001 + i, peer.getsockname())
    for last in (200, 77):
        data = [os.urandom(200) for _ in range(15)] + [os.urandom(last)]
        send_train(client.sock, [frame(0x4001, d) for d in data])
        assert [peers[0].recv(2000) for _ in data] == data
        send_train(peers[0], data, relayed)
        assert [client.data() for _ in data] == [(0x4001, d) for d in data]
    data = [os.urandom(300) for _ in range(12)]
    send_train(client.sock, [frame(0x4001 + i // 3 % 2, d) for i, d in enumerate(data)])
    for k, peer in enumerate(peers):
        wanted = [d for i, d in enumerate(data) if i // 3 % 2 == k]
        assert [peer.recv(2000) for _ in wanted] == wanted
    client.refresh(0)


def many_flows(server):
    """Each keeps its order, whatever the others do."""
    clients, peer = [client_of(server) for _ in range(12)], turn.udp_peer()
    relayed = []
    for c in clients:
        relayed.append(c.allocate())
        c.bind(0x4001, peer.getsockname())
    for n in range(20):
        for c in clients:
            c.send_channel(0x4001, struct.pack("!H", n) + bytes(50 + n // 8))
    heard = {at: [] for at in relayed}
    for _ in range(20 * len(clients)):
        data, source = peer.recvfrom(2000)
        heard[source].append(struct.unpack("!H", data[:2])[0])
    assert all(h == list(range(20)) for h in heard.values()), heard
    for n in range(20):
        for at in relayed:
            peer.sendto(struct.pack("!H", n) + bytes(50), at)
    for c in clients:
        assert [c.data()[1][:2] for _ in range(20)] == [struct.pack("!H", n) for n in range(20)]
        c.refresh(0)


def marks(server):
    """RFC 8656 section 14: the bits of ECN go along, both ways."""
    client, peer = client_of(server), turn.udp_peer()
    relayed = client.allocate()
    client.bind(0x4001, peer.getsockname())
    for sock in (client.sock, peer):
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    for ecn in (0, 1, 2, 3):
        client.sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ecn)
        peer.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, ecn)
        client.send_channel(0x4001, b"marked")
        assert peer.recvmsg(100, 100)[1][0][2][0] & 3 == ecn
        peer.sendto(b"marked", relayed)
        assert client.sock.recvmsg(100, 100)[1][0][2][0] & 3 == ecn
    client.refresh(0)


def errors(server):
    """RFC 8656 section 11.5: port unreachable, as a Data indication."""
    client = client_of(server)
    client.allocate()
    client.permit("127.0.0.1")
    with turn.udp_peer() as nobody:
        peer = nobody.getsockname()
    client.send_to(peer, b"anybody there?")
    said = turn.Message(client.receive())
    assert said.kind == turn.DATA | 0x10 and said.address(turn.PEER) == peer
    assert said.attributes[ICMP_ATTRIBUTE][2:4] == struct.pack("!H", 3 << 9 | 3)
    client.refresh(0)


def whole(server):
    """RFC 8656 section 11.2: what must not be fragmented, and is too long for a packet, is lost."""
    client, peer = client_of(server), turn.udp_peer()
    client.allocate()
    client.permit("127.0.0.1")
    mark = turn.attribute(DONT_FRAGMENT, b"")
    for size, extra in ((1000, mark), (1000, b"")):
        data = os.urandom(size)
        client.sock.send(client.message(turn.SEND | 0x10, turn.attribute(
            turn.PEER, turn.address(*peer.getsockname())) + extra + turn.attribute(
                turn.PAYLOAD, data), secret=False))
        assert peer.recv(2000) == data
    client.refresh(0)


def of_coturn(server):
    """coturn's own client, both of its ways to send."""
    if shutil.which("turnutils_uclient") is None:
        print("turnutils_uclient is not here: skipped")
        return
    with subprocess.Popen(["turnutils_peer", "-L", "127.0.0.1", "-p", "13499"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as peer:
        done = subprocess.run(["turnutils_uclient", "-u", "user", "-w", "password", "-e", "127.0.0.1",
                               "-r", "13499", "-p", str(server.stun), "-n", "5", "-m", "2", "-c",
                               "127.0.0.1"],
                              capture_output=True, text=True, timeout=60, check=False)
        peer.terminate()
    assert "Total lost packets 0 (0.000000%)" in done.stdout, done.stdout[-2000:] + server.logged()


def main():
    ways = ("portable", "batch") if sys.platform == "linux" else ("portable",)
    for io in ways:
        server = serve.Server(*OPTIONS, "--io", io, workers=2)
        for check in (every_size, trains, many_flows):
            check(server)
        if io == "batch":
            for check in (marks, errors, whole, of_coturn):
                check(server)
        server.stop()
        print(f"{io}: fine")


main()
