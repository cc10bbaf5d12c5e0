#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin serve` as seen by an independent relay client."""
import os
import socket
import ssl
import time

import derp
from serve import Server, run

TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE
server = Server()


def client(port, context=None, **options):
    wrap = context and (lambda s: context.wrap_socket(s, server_hostname="localhost"))
    return derp.Client(("127.0.0.1", port), wrap=wrap, **options)


def connect(*args, **options):
    """A client, once all workers of the server have heard of it: nobody repeats a lost packet"""
    end = client(*args, **options)
    time.sleep(0.2)
    return end


def pages():
    """The fixed pages answer as the Go server's do"""
    assert server.get("/derp")[0] == 426
    status, _, probe = server.get("/derp/probe")
    assert status == 200 and probe.getheader("Access-Control-Allow-Origin") == "*"
    assert server.get("/derp/latency-check", method="POST")[0] == 405
    status, _, answer = server.get("/generate_204", headers={"X-Tailscale-Challenge": "abc.1:2-3_4"})
    assert status == 204
    assert answer.getheader("X-Tailscale-Response") == "response abc.1:2-3_4"
    assert "no-cache" in answer.getheader("Cache-Control")
    bad = server.get("/generate_204", headers={"X-Tailscale-Challenge": "a<b"})
    assert bad[2].getheader("X-Tailscale-Response") is None
    assert "Disallow" in server.get("/robots.txt")[1]
    assert server.get("/no/such/page")[0] == 404


def upgrade_plain():
    """Upgrade over plain HTTP: the answer names version and key, and the key is the server's"""
    c = client(server.plain)
    assert b"Derp-Version: 2" in c.http_head, c.http_head
    assert b"Derp-Public-Key: " + c.server.hex().encode() in c.http_head
    assert c.info["version"] == 2
    c.close()


def upgrade_tls():
    """Upgrade over TLS"""
    client(server.https, TLS).close()


def fast_start():
    """Fast start over TLS 1.3: no HTTP answer, ServerKey comes first"""
    c = client(server.https, TLS, fast=True)
    assert c.socket.version() == "TLSv1.3"
    plain = client(server.plain)
    assert plain.server == c.server
    assert c.http_head == b""
    c.close()
    plain.close()


def exchange():
    """Two clients exchange packets of every size, one over TLS and one without"""
    a, b = connect(server.plain), connect(server.https, TLS)
    for size in (1, 1400, 2048, 65536):
        data = os.urandom(size)
        a.send(b.public, data)
        assert b.receive() == (a.public, data), size
        b.send(a.public, data)
        assert a.receive() == (b.public, data), size
    assert a.ping(b"12345678") == b"12345678"
    a.close()
    b.close()


def unknown():
    """Packets for an unknown key vanish in silence, unless they look like disco"""
    a = client(server.plain)
    nobody = os.urandom(32)
    a.send(nobody, b"\x40 anything")
    assert a.is_silent(0.3)
    a.send(nobody, b"TS\xf0\x9f\x92\xac disco")
    assert a.wait_for(derp.GONE) == nobody + b"\x01"
    a.close()


def gone():
    """Who has heard a peer is told when it goes; others are not"""
    a, b, c = (connect(server.plain) for _ in range(3))
    b.send(a.public, b"hello")
    assert a.receive() == (b.public, b"hello")
    c.ping(b"12345678")
    b.close()
    assert a.wait_for(derp.GONE) == b.public + b"\x00"
    assert c.is_silent(0.3)
    a.close()
    c.close()


def newest():
    """Of two connections with one key the one heard last receives"""
    a, first = connect(server.plain), connect(server.plain)
    second = connect(server.plain, secret=first.secret)
    a.send(first.public, b"\x40 one")
    assert second.receive()[1] == b"\x40 one"
    first.ping(b"12345678")
    time.sleep(0.2)
    a.send(first.public, b"\x40 two")
    assert first.receive()[1] == b"\x40 two"
    for end in (a, first, second):
        end.close()


def garbage():
    """Random bytes, an endless head and a frame too short cost the connection and nothing else"""
    for data in (os.urandom(4096), b"GET /derp HTTP/1.1\r\n" + b"A: b\r\n" * 4000, b"\x16\x03\x01"):
        with socket.create_connection(("127.0.0.1", server.plain), 5) as s:
            try:
                s.sendall(data)
            except OSError:
                pass  # refused already
    a = client(server.plain)
    a.put(derp.SEND, b"short")
    try:
        while True:
            a.frame()
    except (EOFError, OSError):
        pass
    a.close()
    upgrade_plain()


def the_server_ends_well():
    """The server ends at once, with status 0"""
    server.close()


run([pages, upgrade_plain, upgrade_tls, fast_start, exchange, unknown, gone, newest, garbage,
     the_server_ends_well])
