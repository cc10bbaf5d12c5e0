#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TURN over TCP and TLS: every door, framing, ends, slow readers, proxies."""
import os
import socket
import struct
import time

import serve
import turn

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


TURNS = free_port()
OPTIONS = ("--turn-user", "user:password", "--allow-peer", "127.0.0.0/8", "--turns", str(TURNS))
SERVER = serve.Server(*OPTIONS)


def talks(client):
    """An allocation, a channel, and bytes of every padding both ways."""
    peer = turn.udp_peer()
    relayed = client.allocate()
    client.bind(0x4001, peer.getsockname())
    for size in (0, 1, 2, 3, 4, 5, 100, 1400):
        data = os.urandom(size)
        client.send_channel(0x4001, data)
        got, source = peer.recvfrom(2000)
        assert (got, source) == (data, relayed), (got, source)
        peer.sendto(data, relayed)
        assert client.data() == (0x4001, data)
    client.permit("127.0.0.1")
    other = turn.udp_peer()
    client.send_to(other.getsockname(), b"indication")
    assert other.recvfrom(100) == (b"indication", relayed)
    other.sendto(b"odd", relayed)
    assert client.data() == (other.getsockname(), b"odd")
    return relayed


def tcp():
    client = turn.Client(turn.connect(SERVER.stun))
    assert client.binding() == client.sock.getsockname()
    talks(client)
    assert client.mapped == client.sock.getsockname()
    client.refresh(0)


def tls_on_its_own_port():
    talks(turn.Client(turn.tls(turn.connect(TURNS))))


def tls_on_the_port_of_stun():
    talks(turn.Client(turn.tls(turn.connect(SERVER.stun))))


def https_port_by_alpn():
    for name in ("stun.turn", "stun.nat-discovery"):
        sock = turn.tls(turn.connect(SERVER.https), [name, "http/1.1"])
        assert sock.selected_alpn_protocol() == name
        client = turn.Client(sock)
        assert client.binding() == sock.getsockname()
        talks(client)


def https_port_by_the_first_bytes():
    sock = turn.tls(turn.connect(SERVER.https))
    talks(turn.Client(sock))
    sock = turn.tls(turn.connect(SERVER.https), ["h2", "http/1.1"])
    assert sock.selected_alpn_protocol() is None
    sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert sock.recv(100).startswith(b"HTTP/1.1 200")


def frames_may_come_byte_by_byte():
    client = turn.Client(turn.connect(SERVER.stun))
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    peer = turn.udp_peer()
    client.allocate()
    client.bind(0x4002, peer.getsockname())
    stream = b"".join(struct.pack("!HH", 0x4002, len(data)) + data + bytes(-len(data) % 4)
                      for data in (b"one", b"", b"three", b"x" * 60))
    for i in range(len(stream)):
        client.sock.sendall(stream[i:i + 1])
    for data in (b"one", b"", b"three", b"x" * 60):
        assert peer.recv(100) == data


def large_frames_are_for_allocations():
    client = turn.Client(turn.connect(SERVER.stun))
    peer = turn.udp_peer()
    relayed = client.allocate()
    client.bind(0x4003, peer.getsockname())
    data = os.urandom(40000)
    client.send_channel(0x4003, data)
    assert peer.recv(65536) == data
    peer.sendto(data, relayed)
    assert client.data() == (0x4003, data)
    stranger = turn.connect(SERVER.stun)
    stranger.settimeout(15)
    stranger.sendall(struct.pack("!HH", 0x4003, 40000) + bytes(3000))
    assert stranger.recv(10) == b""


def nonsense_ends_the_connection():
    for first in (b"\x80\x01\x02\x03", b"GET / HTTP/1.1\r\n\r\n", bytes(30)):
        sock = turn.connect(SERVER.stun, first)
        sock.settimeout(15)
        try:
            assert sock.recv(10) == b""
        except ConnectionResetError:
            pass


def is_relayed(relayed):
    """Does anything listen there? ICMP tells."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(relayed)
        probe.settimeout(0.2)
        probe.send(b"?")
        try:
            probe.recv(10)
        except socket.timeout:
            return True
        except ConnectionRefusedError:
            return False
    return True


def the_end_of_the_connection_is_the_allocations():
    for sock in (turn.connect(SERVER.stun), turn.tls(turn.connect(TURNS))):
        relayed = turn.Client(sock)
        address = relayed.allocate()
        assert is_relayed(address)
        sock.close()
        until = time.monotonic() + 10
        while is_relayed(address):
            assert time.monotonic() < until, "the relay port is still open"


def slow_readers_lose_data_not_answers():
    client = turn.Client(turn.connect(SERVER.stun))
    peer = turn.udp_peer()
    relayed = client.allocate()
    client.bind(0x4004, peer.getsockname())
    before = SERVER.memory_kib()
    for i in range(20000):
        peer.sendto(struct.pack("!I", i) + bytes(1000), relayed)
        if i % 200 == 0:
            time.sleep(0.001)
    out = client.message(turn.REFRESH, turn.attribute(turn.LIFETIME, struct.pack("!I", 600)))
    client.sock.sendall(out)
    grown = SERVER.memory_kib() - before
    last, count = -1, 0
    while True:
        got = client.receive()
        if got[0] < 2:
            assert got[8:20] == out[8:20]
            break
        number = struct.unpack("!I", got[4:8])[0]
        assert number > last
        last, count = number, count + 1
    assert count < 20000, "the reader was not slow"
    print(f"  {count} of 20000 arrived, the server grew by {grown} KiB")
    assert grown < 20000


V1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 50000 %d\r\n"


def v2(host, port, server_port, kind=0x11):
    return (b"\r\n\r\n\0\r\nQUIT\n" + struct.pack("!BBH", 0x21, kind, 12) +
            socket.inet_aton(host) + socket.inet_aton("127.0.0.1") +
            struct.pack("!HH", port, server_port))


def proxies_are_believed_where_trusted():
    turns = free_port()
    server = serve.Server("--turn-user", "user:password", "--allow-peer", "127.0.0.0/8",
                          "--turns", str(turns), "--proxy-from", "127.0.0.0/8",
                          "--per-address-max", "3")
    header = V1 % server.stun
    client = turn.Client(turn.connect(server.stun, header))
    assert client.binding() == ("192.0.2.1", 50000)
    talks(client)
    assert client.mapped == ("192.0.2.1", 50000)
    slow = turn.connect(server.stun)
    for i in range(len(header)):
        slow.sendall(header[i:i + 1])
        time.sleep(0.001)
    client = turn.Client(slow)
    assert client.binding() == ("192.0.2.1", 50000)
    sock = turn.connect(turns, v2("192.0.2.7", 1234, turns))
    client = turn.Client(turn.tls(sock))
    assert client.binding() == ("192.0.2.7", 1234)
    talks(client)
    kept = [client]
    sock = turn.connect(server.https, v2("192.0.2.7", 1235, server.https))
    client = turn.Client(turn.tls(sock, ["stun.turn"]))
    assert client.binding() == ("192.0.2.7", 1235)
    kept.append(client)
    # The limit of connections counts clients, not the proxy.
    kept.append(turn.connect(server.stun, v2("192.0.2.7", 1236, server.stun)))
    over = turn.connect(server.stun, v2("192.0.2.7", 1237, server.stun))
    assert over.recv(10) == b""
    bare = turn.connect(server.stun, turn.Client(slow).message(1))
    bare.settimeout(15)
    assert bare.recv(10) == b"", "a trusted proxy without a header is not served"
    assert "proxy_refused" in server.logged()
    del kept
    server.close()


class Proxy:
    """A UDP socket of a proxy, as Client wants it: each datagram, or the first one only, gets a
    header."""
    type = socket.SOCK_DGRAM

    def __init__(self, server, client, every):
        self.udp = turn.udp_peer()
        self.udp.connect(("127.0.0.1", server.stun))
        self.header, self.every, self.sent = v2(*client, server.stun, 0x12), every, 0
        self.settimeout, self.recv = self.udp.settimeout, self.udp.recv

    def sendall(self, data):
        self.udp.send((self.header if self.every or self.sent == 0 else b"") + data)
        self.sent += 1


def udp_proxies_are_believed_where_trusted():
    server = serve.Server("--turn-user", "user:password", "--allow-peer", "127.0.0.0/8",
                          "--turns", "0", "--proxy-from", "127.0.0.1")
    for every in (True, False):
        client = turn.Client(Proxy(server, ("192.0.2.9", 999), every))
        assert client.binding() == ("192.0.2.9", 999)
        relayed = talks(client)
        assert client.mapped == ("192.0.2.9", 999)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.connect(("127.0.0.1", server.stun))
            stranger.send(turn.Client(stranger).message(1))  # no header yet: nobody is behind it
            stranger.settimeout(0.1)
            try:
                assert not stranger.recv(100)
            except socket.timeout:
                pass
        client.refresh(0)
        assert not is_relayed(relayed)
    # The same port of the proxy's, another client: the first one's allocation is over.
    proxy = Proxy(server, ("192.0.2.9", 999), True)
    relayed = turn.Client(proxy).allocate()
    proxy.header = v2("192.0.2.10", 999, server.stun, 0x12)
    assert turn.Client(proxy).binding() == ("192.0.2.10", 999)
    assert not is_relayed(relayed)
    server.close()


def and_nowhere_else():
    sock = turn.connect(SERVER.stun, V1 % SERVER.stun)
    sock.settimeout(15)
    assert sock.recv(10) == b""
    proxy = Proxy(SERVER, ("192.0.2.9", 999), True)
    proxy.sendall(turn.Client(proxy).message(1))
    proxy.settimeout(0.2)
    try:
        assert not proxy.recv(100)
    except socket.timeout:
        pass


def many_idle_clients_are_cheap():
    """Memory of an idle TCP client with an allocation, printed; the bound is a generous one."""
    clients = []
    before = SERVER.memory_kib()
    for _ in range(100):
        clients.append(turn.Client(turn.connect(SERVER.stun)))
        clients[-1].allocate()
    each = (SERVER.memory_kib() - before) * 1024 / len(clients)
    print(f"  {each:.0f} bytes for each (with whatever sanitizer it was built)")
    assert each < 100000


def stops_with_open_allocations():
    client = turn.Client(turn.tls(turn.connect(TURNS)))
    client.allocate()
    SERVER.close()


if __name__ == "__main__":
    serve.run([tcp, tls_on_its_own_port, tls_on_the_port_of_stun, https_port_by_alpn,
               https_port_by_the_first_bytes, frames_may_come_byte_by_byte,
               large_frames_are_for_allocations, nonsense_ends_the_connection,
               the_end_of_the_connection_is_the_allocations, slow_readers_lose_data_not_answers,
               proxies_are_believed_where_trusted,
               udp_proxies_are_believed_where_trusted, and_nowhere_else, many_idle_clients_are_cheap,
               stops_with_open_allocations])
