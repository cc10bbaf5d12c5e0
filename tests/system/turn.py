# SPDX-License-Identifier: MIT
"""A TURN client for tests (RFC 8656), one blocking request at a time, over any stream or UDP."""
import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import struct
import subprocess

COOKIE = 0x2112A442
ALLOCATE, REFRESH, SEND, DATA, PERMIT, BIND = 3, 4, 6, 7, 8, 9
CONNECT, CONNECTION_BIND, CONNECTION_ATTEMPT = 10, 11, 12
USERNAME, INTEGRITY, ERROR, CHANNEL, LIFETIME = 6, 8, 9, 0x0C, 0x0D
PEER, PAYLOAD, REALM, NONCE, RELAYED, TRANSPORT = 0x12, 0x13, 0x14, 0x15, 0x16, 0x19
MAPPED, CONNECTION_ID = 0x20, 0x2A


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def address(host, port):
    packed = int.from_bytes(socket.inet_aton(host), "big") ^ COOKIE
    return struct.pack("!BBHI", 0, 1, port ^ (COOKIE >> 16), packed)


def read_address(value):
    _, _, port, packed = struct.unpack("!BBHI", value[:8])
    return socket.inet_ntoa(struct.pack("!I", packed ^ COOKIE)), port ^ (COOKIE >> 16)


class Refused(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Message:
    def __init__(self, data):
        self.kind, length, cookie, self.txid = struct.unpack("!HHI12s", data[:20])
        assert cookie == COOKIE and length == len(data) - 20, data
        self.attributes, at = {}, 20
        while at < len(data):
            kind, size = struct.unpack("!HH", data[at:at + 4])
            self.attributes.setdefault(kind, data[at + 4:at + 4 + size])
            at += 4 + (size + 3) // 4 * 4

    def address(self, kind):
        return read_address(self.attributes[kind])


class Client:
    """`sock` is connected; over a stream frames are cut as RFC 8656 section 12.5 says.
    `again`: seconds after which a request is repeated, RFC 8489 section 6.2.1."""

    def __init__(self, sock, user="user", password="password", again=None):
        self.again = again
        self.sock, self.user, self.password = sock, user, password
        self.stream = sock.type == socket.SOCK_STREAM
        self.realm = self.nonce = None
        self.buffer, self.early = b"", []
        sock.settimeout(15)

    def read(self, size):
        while len(self.buffer) < size:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("the server closed the connection")
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def receive(self):
        """One message or ChannelData, whole."""
        if not self.stream:
            return self.sock.recv(65536)
        head = self.read(4)
        length = struct.unpack("!H", head[2:])[0]
        if head[0] >= 0x40:
            body = self.read(length + -length % 4)
            return head + body[:length]
        return head + self.read(length + 16)

    def receive_repeating(self, out):
        """A server leaves a request unanswered whose relay port is another program's."""
        self.sock.settimeout(self.again)
        try:
            for _ in range(14):
                try:
                    return self.receive()
                except TimeoutError:
                    self.sock.sendall(out)
            return self.receive()
        finally:
            self.sock.settimeout(15)

    def message(self, method, attributes=b"", secret=True):
        txid = os.urandom(12)
        if secret and self.nonce is not None:
            attributes += attribute(USERNAME, self.user.encode())
            attributes += attribute(REALM, self.realm) + attribute(NONCE, self.nonce)
            text = f"{self.user}:{self.realm.decode()}:{self.password}"
            key = hashlib.md5(text.encode()).digest()
            head = struct.pack("!HHI12s", method, len(attributes) + 24, COOKIE, txid)
            attributes += attribute(INTEGRITY, hmac.new(key, head + attributes, "sha1").digest())
        return struct.pack("!HHI12s", method, len(attributes), COOKIE, txid) + attributes

    def once(self, method, attributes):
        out = self.message(method, attributes)
        self.sock.sendall(out)
        while True:
            data = self.receive() if self.again is None else self.receive_repeating(out)
            if data[0] < 2 and data[8:20] == out[8:20]:
                return Message(data)
            self.early.append(data)

    def request(self, method, attributes=b""):
        """Gives the success response; the challenge is answered."""
        for _ in range(3):
            answer = self.once(method, attributes)
            if answer.kind == method | 0x0100:
                return answer
            error = answer.attributes[ERROR]
            code = error[2] * 100 + error[3]
            if code not in (401, 438) or (code == 401 and self.nonce is not None):
                raise Refused(code)
            self.realm, self.nonce = answer.attributes[REALM], answer.attributes[NONCE]
        raise Refused(code)

    def binding(self):
        """Our address, as the server sees it."""
        out = self.message(1, secret=False)
        self.sock.sendall(out)
        answer = Message(self.receive())
        assert answer.kind == 0x0101 and answer.txid == out[8:20]
        return answer.address(MAPPED)

    def allocate(self, transport=17):
        answer = self.request(ALLOCATE, attribute(TRANSPORT, bytes([transport, 0, 0, 0])))
        self.mapped = answer.address(MAPPED)
        return answer.address(RELAYED)

    def refresh(self, lifetime):
        self.request(REFRESH, attribute(LIFETIME, struct.pack("!I", lifetime)))

    def permit(self, host):
        self.request(PERMIT, attribute(PEER, address(host, 0)))

    def bind(self, number, peer):
        self.request(BIND, attribute(CHANNEL, struct.pack("!HH", number, 0)) +
                     attribute(PEER, address(*peer)))

    def send_channel(self, number, data):
        pad = bytes(-len(data) % 4) if self.stream else b""
        self.sock.sendall(struct.pack("!HH", number, len(data)) + data + pad)

    def send_to(self, peer, data):
        self.sock.sendall(self.message(SEND | 0x10, attribute(PEER, address(*peer)) +
                                       attribute(PAYLOAD, data), secret=False))

    def data(self):
        """What a peer sent: (channel number or peer's address, bytes)."""
        while True:
            got = self.early.pop(0) if self.early else self.receive()
            if got[0] >= 0x40:
                number, length = struct.unpack("!HH", got[:4])
                assert length == len(got) - 4
                return number, got[4:]
            message = Message(got)
            if message.kind == DATA | 0x10:
                return message.address(PEER), message.attributes[PAYLOAD]

    def indication(self, kind):
        while True:
            message = Message(self.early.pop(0) if self.early else self.receive())
            if message.kind == kind | 0x10:
                return message


def tls(sock, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(alpn)
    return context.wrap_socket(sock)


@contextlib.contextmanager
def dtls(port):
    """OpenSSL's client as a socket: what comes in one record after the other is a stream here."""
    ours, theirs = socket.socketpair()
    command = ["openssl", "s_client", "-dtls1_2", "-quiet", "-connect", f"127.0.0.1:{port}"]
    client = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
    theirs.close()
    try:
        with ours:
            yield ours
    finally:
        client.kill()
        client.wait()


def connect(port, first=b""):
    sock = socket.create_connection(("127.0.0.1", port), 15)
    if first:
        sock.sendall(first)
    return sock


def udp_peer():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(15)
    return sock
