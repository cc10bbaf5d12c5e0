#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TCP allocations, RFC 6062: connections to and from peers, whichever worker a client's data
connection lands on."""
import hashlib
import os
import socket
import struct
import threading
import time

import serve
import turn

TCP = 6


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


TURNS = free_port()
SERVER = serve.Server("--turn-user", "user:password", "--allow-peer", "127.0.0.0/8",
                      "--turns", str(TURNS), workers=3)


def listen():
    sock = socket.create_server(("127.0.0.1", 0))
    sock.settimeout(15)
    return sock


def plain():
    return turn.connect(SERVER.stun)


def sealed():
    return turn.tls(turn.connect(TURNS))


class Joined:
    """A data connection's socket; the peer's first bytes may have come along with the answer."""

    def __init__(self, client):
        self.sock, self.early = client.sock, client.buffer
        self.sendall, self.close = self.sock.sendall, self.sock.close
        self.settimeout, self.shutdown = self.sock.settimeout, self.sock.shutdown

    def recv(self, size):
        if not self.early:
            return self.sock.recv(size)
        taken, self.early = self.early[:size], self.early[size:]
        return taken


def bind(connection, dial):
    client = turn.Client(dial())
    client.request(turn.CONNECTION_BIND, turn.attribute(turn.CONNECTION_ID, connection))
    return Joined(client)


def connect(control, peer):
    answer = control.request(turn.CONNECT, turn.attribute(turn.PEER, turn.address(*peer)))
    return answer.attributes[turn.CONNECTION_ID]


def pair(dial):
    """A control connection and a data connection joined to a peer's socket: both ends."""
    control, peer = turn.Client(dial()), listen()
    relayed = control.allocate(TCP)
    control.permit("127.0.0.1")
    connection = connect(control, peer.getsockname())
    there, source = peer.accept()
    assert source == relayed, "the connection comes from the relayed address"
    there.settimeout(15)
    return control, bind(connection, dial), there


def bytes_and_ends_go_both_ways():
    for dial in (plain, sealed):
        control, here, there = pair(dial)
        here.sendall(b"ping")
        assert there.recv(100) == b"ping"
        there.sendall(b"pong")
        assert here.recv(100) == b"pong"
        there.shutdown(socket.SHUT_WR)
        assert here.recv(100) == b"", "a half close goes through"
        here.sendall(b"still")
        assert there.recv(100) == b"still"
        here.close()
        assert there.recv(100) == b""
        control.sock.close()


def any_worker_takes_the_data_connection():
    """With three workers, some of these land on the allocation's and most do not."""
    control = turn.Client(plain())
    control.allocate(TCP)
    control.permit("127.0.0.1")
    for dial in [plain] * 8 + [sealed] * 4:
        peer = listen()
        connection = connect(control, peer.getsockname())
        there, _ = peer.accept()
        there.settimeout(15)
        there.sendall(b"early")  # waits for the bind
        here = bind(connection, dial)
        assert here.recv(5) == b"early"
        here.sendall(b"late")
        assert there.recv(100) == b"late"
        here.close()
        assert there.recv(100) == b""


def a_slow_reader_slows_the_writer_and_loses_nothing():
    for dial in (plain, sealed):
        control, here, there = pair(dial)
        for source, sink in ((here, there), (there, here)):
            data = os.urandom(1 << 20) * 8
            before = SERVER.memory_kib()
            writer = threading.Thread(target=lambda: (source.sendall(data),
                                                      source.shutdown(socket.SHUT_WR)
                                                      if dial is plain else None))
            source.settimeout(60)
            writer.start()
            time.sleep(0.3)
            assert SERVER.memory_kib() - before < 12000, "the server hoards"
            got, hashed = 0, hashlib.sha256()
            while got < len(data):
                piece = sink.recv(1 << 16)
                assert piece
                got += len(piece)
                hashed.update(piece)
            writer.join()
            assert hashed.digest() == hashlib.sha256(data).digest()
        control.sock.close()


def peers_may_connect():
    control = turn.Client(plain())
    relayed = control.allocate(TCP)
    stranger = socket.create_connection(relayed, 15)  # no permission: closed
    stranger.settimeout(15)
    assert stranger.recv(10) == b""
    control.permit("127.0.0.1")
    peer = socket.create_connection(relayed, 15)
    peer.settimeout(15)
    peer.sendall(b"hello")
    attempt = control.indication(turn.CONNECTION_ATTEMPT)
    assert attempt.address(turn.PEER) == peer.getsockname()
    here = bind(attempt.attributes[turn.CONNECTION_ID], plain)
    assert here.recv(5) == b"hello"
    here.sendall(b"you too")
    assert peer.recv(100) == b"you too"


def refused(control, method, attributes, code):
    try:
        control.request(method, attributes)
    except turn.Refused as refusal:
        assert refusal.code == code, refusal.code
        return
    raise AssertionError("not refused")


def refusals():
    control, peer = turn.Client(plain()), listen()
    control.allocate(TCP)
    control.permit("127.0.0.1")
    nobody = ("127.0.0.1", free_port())
    refused(control, turn.CONNECT, turn.attribute(turn.PEER, turn.address(*nobody)), 447)
    refused(control, turn.CONNECT, turn.attribute(turn.PEER, turn.address("10.0.0.1", 80)), 403)
    connect(control, peer.getsockname())
    refused(control, turn.CONNECT,
            turn.attribute(turn.PEER, turn.address(*peer.getsockname())), 446)
    unknown = turn.attribute(turn.CONNECTION_ID, struct.pack("!I", 0x7ffffff0))
    refused(turn.Client(plain()), turn.CONNECTION_BIND, unknown, 400)


def the_control_connections_end_is_everybodys():
    for dial in (plain, sealed):
        control, here, there = pair(dial)
        control.sock.close()
        assert there.recv(10) == b""
        try:
            assert here.recv(10) == b""
        except ConnectionResetError:
            pass


def stops_with_joined_streams():
    for dial in (plain, sealed):
        control, here, there = pair(dial)
        here.sendall(b"x")
        assert there.recv(1) == b"x"
    SERVER.close()


if __name__ == "__main__":
    serve.run([bytes_and_ends_go_both_ways, any_worker_takes_the_data_connection,
               a_slow_reader_slows_the_writer_and_loses_nothing, peers_may_connect, refusals,
               the_control_connections_end_is_everybodys, stops_with_joined_streams])
