# SPDX-License-Identifier: MIT
"""A DERP client on the standard library alone: NaCl's box in plain Python (slow, correct), frames,
the HTTP upgrade. It shares no code with the C."""
import json
import os
import socket
import struct

MAGIC = b"DERP\xf0\x9f\x94\x91"
SERVER_KEY, CLIENT_INFO, SERVER_INFO, SEND, RECV, KEEP_ALIVE, PREFERRED, GONE = range(1, 9)
PING, PONG, HEALTH, RESTARTING = 0x12, 0x13, 0x14, 0x15
P25519 = 2**255 - 19


def x25519(secret, point):
    """RFC 7748 section 5, the Montgomery ladder."""
    k = bytearray(secret)
    k[0] &= 248
    k[31] = k[31] & 127 | 64
    k = int.from_bytes(k, "little")
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a, b * b, d * a, c * b
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % P25519, x1 * (da - cb) ** 2 % P25519
        x2, z2 = aa * bb % P25519, e * (aa + 121665 * e) % P25519
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P25519 - 2, P25519) % P25519).to_bytes(32, "little")


def public_of(secret):
    return x25519(secret, bytes([9]) + bytes(31))


def salsa20_rounds(x):
    def quarter(a, b, c, d):
        for out, one, two, turn in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
            s = x[one] + x[two] & 0xFFFFFFFF
            x[out] ^= s << turn & 0xFFFFFFFF | s >> 32 - turn

    for _ in range(10):
        for q in ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)):
            quarter(*q)
        for q in ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)):
            quarter(*q)


def salsa20_state(key, block):
    c = struct.unpack("<4I", b"expand 32-byte k")
    k, n = struct.unpack("<8I", key), struct.unpack("<4I", block)
    return [c[0], *k[:4], c[1], *n, c[2], *k[4:], c[3]]


def hsalsa20(key, block):
    x = salsa20_state(key, block)
    salsa20_rounds(x)
    return struct.pack("<8I", x[0], x[5], x[10], x[15], *x[6:10])


def salsa20_stream(key, nonce8, length):
    out = b""
    for counter in range((length + 63) // 64):
        start = salsa20_state(key, nonce8 + struct.pack("<Q", counter))
        x = list(start)
        salsa20_rounds(x)
        out += struct.pack("<16I", *(a + b & 0xFFFFFFFF for a, b in zip(x, start)))
    return out[:length]


def poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    sum_ = 0
    for i in range(0, len(data), 16):
        sum_ = (sum_ + int.from_bytes(data[i:i + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (sum_ + int.from_bytes(key[16:], "little") & 2**128 - 1).to_bytes(16, "little")


class Box:
    """crypto_box between our secret and a public key: XSalsa20 and Poly1305."""

    def __init__(self, secret, peer):
        self.key = hsalsa20(x25519(secret, peer), bytes(16))

    def stream(self, nonce, length):
        return salsa20_stream(hsalsa20(self.key, nonce[:16]), nonce[16:], length)

    def seal(self, plain, nonce=None):
        nonce = nonce or os.urandom(24)
        stream = self.stream(nonce, 32 + len(plain))
        text = bytes(a ^ b for a, b in zip(plain, stream[32:]))
        return nonce + poly1305(stream[:32], text) + text

    def open(self, sealed):
        nonce, tag, text = sealed[:24], sealed[24:40], sealed[40:]
        stream = self.stream(nonce, 32 + len(text))
        assert poly1305(stream[:32], text) == tag, "the box does not open"
        return bytes(a ^ b for a, b in zip(text, stream[32:]))


class Client:
    """One connection. `fast`: one flight, without waiting for HTTP. `boxes` may be shared: it saves
    the X25519 of each (secret, server) pair. `wrap` puts TLS on the socket."""

    def __init__(self, address, secret=None, wrap=None, boxes=None, fast=False):
        self.secret = secret or os.urandom(32)
        self.boxes = {} if boxes is None else boxes
        self.public = self.boxes.get(self.secret) or public_of(self.secret)
        self.boxes[self.secret] = self.public
        self.socket = socket.create_connection(address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if wrap is not None:
            self.socket = wrap(self.socket)
        self.buffer = self.http_head = b""
        if fast:
            self.server = find_relay_key(self.socket)
            self.put_info(request("Derp-Fast-Start: 1\r\n"))
        else:
            self.upgrade()
            body = self.wait_for(SERVER_KEY)
            assert body[:8] == MAGIC, body
            self.server = body[8:40]
            self.put_info()
        self.info = json.loads(self.box().open(self.wait_for(SERVER_INFO)))

    def box(self):
        pair = (self.secret, self.server)
        if pair not in self.boxes:
            self.boxes[pair] = Box(*pair)
        return self.boxes[pair]

    def upgrade(self):
        self.socket.sendall(request())
        while b"\r\n\r\n" not in self.buffer:
            self.more()
        self.http_head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        assert self.http_head.startswith(b"HTTP/1.1 101"), self.http_head

    def put_info(self, before=b""):
        info = json.dumps({"version": 2, "CanAckPings": True}).encode()
        self.put(CLIENT_INFO, self.public + self.box().seal(info), before)

    def more(self):
        data = self.socket.recv(65536)
        if data == b"":
            raise EOFError("the server closed the connection")
        self.buffer += data

    def frame(self):
        while len(self.buffer) < 5 or len(self.buffer) < 5 + struct.unpack("!I", self.buffer[1:5])[0]:
            self.more()
        kind, length = struct.unpack("!BI", self.buffer[:5])
        body, self.buffer = self.buffer[5:5 + length], self.buffer[5 + length:]
        return kind, body

    def put(self, kind, body, before=b""):
        self.socket.sendall(before + struct.pack("!BI", kind, len(body)) + body)

    def wait_for(self, wanted):
        """The next frame of this kind. Answers pings, skips what else there is."""
        while True:
            kind, body = self.frame()
            if kind == wanted:
                return body
            if kind == PING:
                self.put(PONG, body[:8])

    def send(self, to, data):
        self.put(SEND, to + data)

    def receive(self):
        """The next packet: (from, data)."""
        body = self.wait_for(RECV)
        return body[:32], body[32:]

    def ping(self, data):
        self.put(PING, data)
        return self.wait_for(PONG)

    def is_silent(self, seconds):
        """True if nothing comes in that time."""
        if self.buffer:
            return False
        before = self.socket.gettimeout()
        self.socket.settimeout(seconds)
        try:
            self.more()
            return False
        except (TimeoutError, socket.timeout):
            return True
        finally:
            self.socket.settimeout(before)

    def close(self):
        self.socket.close()


def request(more=""):
    return ("GET /derp HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
            + more + "\r\n").encode()


def find_relay_key(tls):
    """The relay key in the metacert behind the server's certificate. Python's ssl shows only the
    first certificate before 3.13, except by this private call."""
    for certificate in tls._sslobj.get_unverified_chain() or []:
        der = certificate if isinstance(certificate, bytes) else certificate.public_bytes(2)
        at = der.find(b"derpkey")
        if at >= 0:
            return bytes.fromhex(der[at + 7:at + 71].decode())
    raise ValueError("no metacert")
