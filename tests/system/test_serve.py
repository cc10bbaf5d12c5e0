#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin serve` from outside: pages, STUN, certificates, hostile clients, shutdown."""
import base64
import hashlib
import os
import random
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tempfile
import time

from serve import BODKIN, SLOWNESS, Server, run, stun_mapped, stun_request


def tlv(data, at):
    """The DER element at `at`: (start of its content, its end)."""
    length = data[at + 1]
    head = 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[at + 2:at + 2 + count], "big")
        head += count
    return at + head, at + head + length


def pin_of(der):
    """Base64url SHA-256 of a certificate's SubjectPublicKeyInfo, the seventh field of TBSCertificate."""
    at, _ = tlv(der, 0)
    at, _ = tlv(der, at)
    for _ in range(6):  # version, serial, algorithm, issuer, validity, subject
        at = tlv(der, at)[1]
    digest = hashlib.sha256(der[at:tlv(der, at)[1]]).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def shown_pin(port):
    return pin_of(ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port))))


def pages_answer():
    server = Server()
    for tls in (False, True):
        status, body, _ = server.get("/", tls)
        assert status == 200 and len(body.splitlines()) == 2, body
        assert server.get("/healthz", tls)[:2] == (200, "ok\n")
        assert server.get("/nothing", tls)[0] == 404
        assert server.get("/derp", tls)[0] == 426
        assert server.get("/derp/probe", tls)[0] == 200
        assert server.get("/derp/latency-check", tls)[2].getheader("Access-Control-Allow-Origin") == "*"
        assert server.get("/derp/probe", tls, "POST")[0] == 405
        assert server.get("/healthz", tls, "DELETE")[0] == 405
        status, _, answer = server.get("/generate_204", tls, headers={"X-Tailscale-Challenge": "c0.de"})
        assert status == 204 and answer.getheader("X-Tailscale-Response") == "response c0.de"
    assert server.metric("bodkin_http_requests_total") >= 18
    assert server.metric("bodkin_connections_accepted_total") >= 18
    types = [line for line in server.get("/metrics")[1].splitlines() if line.startswith("# TYPE")]
    assert len(types) == len(set(types)) > 20
    server.close()


def the_pin_is_the_certificates():
    server = Server()
    assert shown_pin(server.https) == server.pin
    again = Server(state=server.state)
    assert again.pin == server.pin
    assert os.stat(os.path.join(server.state, "tls.pem")).st_mode & 0o777 == 0o600
    assert os.stat(os.path.join(server.state, "relay.key")).st_mode & 0o777 == 0o600
    again.close()
    server.close()


def upgrades_become_relay_connections():
    server = Server()
    request = b"GET /derp HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
    client = socket.create_connection(("127.0.0.1", server.plain), timeout=10)
    for byte in request + b"\r\n":
        client.sendall(bytes([byte]))
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer.split(b"\r\n\r\n", 1)[1]) < 45:
        answer += client.recv(4096)
    head, frame = answer.split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 101"), head
    key = dict(line.split(b": ") for line in head.split(b"\r\n")[1:])[b"Derp-Public-Key"]
    kind, length = struct.unpack("!BI", frame[:5])
    assert (kind, frame[5:13]) == (1, b"DERP\xf0\x9f\x94\x91") and length >= 40
    assert frame[13:45].hex() == key.decode()
    fast = socket.create_connection(("127.0.0.1", server.plain), timeout=10)
    fast.sendall(request + b"Derp-Fast-Start: 1\r\n\r\n")
    assert fast.recv(5, socket.MSG_WAITALL) == frame[:5]  # no HTTP answer before the first frame
    assert server.metric("bodkin_http_upgrades_total") == 2
    client.close()
    fast.close()
    server.close()


def stun_answers_over_udp():
    server = Server()
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind(("127.0.0.1", 0))
    client.settimeout(5)
    software = struct.pack("!HH8s", 0x8022, 8, b"tailnode")
    for request in (stun_request(), stun_request(fingerprint=True),
                    stun_request(attributes=software, fingerprint=True)):
        client.sendto(request, ("127.0.0.1", server.stun))
        answer, source = client.recvfrom(2048)
        assert source == ("127.0.0.1", server.stun)
        assert stun_mapped(answer) == client.getsockname()
        assert len(answer) <= 1.6 * len(request), (len(answer), len(request))
    # The next port answers, too: two different answers tell a symmetric NAT.
    client.sendto(stun_request(), ("127.0.0.1", server.stun + 1))
    answer, source = client.recvfrom(2048)
    assert source == ("127.0.0.1", server.stun + 1)
    assert stun_mapped(answer) == client.getsockname()
    client.settimeout(0.3)
    for junk in (b"", b"x", b"\x00\x01\x00\x00" + b"y" * 16, stun_request()[:-1],
                 b"\x01\x01" + stun_request()[2:], os.urandom(1400)):
        client.sendto(junk, ("127.0.0.1", server.stun))
    try:
        assert False, client.recv(2048)
    except TimeoutError:
        pass
    client.close()
    server.close()


def stun_answers_over_tcp():
    server = Server()
    client = socket.create_connection(("127.0.0.1", server.stun), timeout=5)
    both = stun_request(b"firstrequest") + stun_request(fingerprint=True)
    client.sendall(both[:7])
    time.sleep(0.05)
    client.sendall(both[7:])
    assert stun_mapped(client.recv(32, socket.MSG_WAITALL), b"firstrequest") == client.getsockname()
    assert stun_mapped(client.recv(40, socket.MSG_WAITALL)) == client.getsockname()
    client.close()
    server.wait_for_metric('bodkin_stun_requests_total{result="mapped"}', 2)
    server.close()


def sighup_changes_the_certificate():
    first, second = Server(), Server()
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    chain = os.path.join(folder, "chain.pem")
    shutil.copy(os.path.join(first.state, "tls.pem"), chain)
    server = Server("--cert", chain)
    assert server.pin is None  # clients verify a real certificate, they need no pin
    assert shown_pin(server.https) == first.pin
    shutil.copy(os.path.join(second.state, "tls.pem"), chain)
    server.signal(signal.SIGHUP)
    server.wait_for_log(" reload ")
    until = time.monotonic() + 5
    while shown_pin(server.https) != second.pin:
        assert time.monotonic() < until, "the certificate did not change"
    with open(chain, "w") as broken:
        broken.write("no certificate at all\n")
    server.signal(signal.SIGHUP)
    server.wait_for_log("reload_failed")
    assert shown_pin(server.https) == second.pin
    for one in (server, second, first):
        one.close()
    shutil.rmtree(folder)


def random_bytes_hurt_nobody():
    server = Server()
    dice = random.Random(7)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for i in range(150):
        port = (server.https, server.plain, server.stun)[i % 3]
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        head = dice.choice((b"", b"GET /derp HTTP/1.1\r\n", b"\x16\x03\x01\x02\x00\x01", b"\x00\x01\x00\x10",
                            b"GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n"
                            b"Derp-Fast-Start: 1\r\n\r\n"))
        try:
            client.sendall(head + dice.randbytes(dice.randrange(1, 5000)))
            if dice.random() < 0.5:
                client.shutdown(socket.SHUT_WR)
                client.settimeout(0.05)
                client.recv(4096)
        except OSError:
            pass  # the server may cut at any moment
        client.close()
        udp.sendto(dice.randbytes(dice.randrange(0, 1400)), ("127.0.0.1", server.stun))
    assert server.get("/healthz", tls=True)[0] == 200
    server.close()


def slow_clients_are_shown_the_door():
    """Half-open TLS, a request letter by letter, a silent relay client: each gets 10 s, no more."""
    server = Server()
    silent = socket.create_connection(("127.0.0.1", server.https))
    hello = socket.create_connection(("127.0.0.1", server.https))
    hello.sendall(b"\x16\x03\x01\x01\x00\x01")
    loris = socket.create_connection(("127.0.0.1", server.plain))
    loris.sendall(b"GET / HTTP/1.1\r\n")
    relay = socket.create_connection(("127.0.0.1", server.plain))
    relay.sendall(b"GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n")
    waiting = {"silent": silent, "hello": hello, "loris": loris, "relay": relay}
    for client in waiting.values():
        client.setblocking(False)
    start = time.monotonic()
    while waiting:
        age = time.monotonic() - start
        assert age < 11 + SLOWNESS, f"still open after {age:.0f} s: {list(waiting)}"
        for name, client in list(waiting.items()):
            try:
                if name == "loris":
                    client.send(b"X")
                if client.recv(4096) == b"":
                    del waiting[name]
            except BlockingIOError:
                pass
            except OSError:
                del waiting[name]
        assert waiting == {} or age > 8 or len(waiting) == 4, f"cut after {age:.0f} s already"
        time.sleep(0.2)
    assert server.metric('bodkin_tls_handshakes_failed_total{reason="timeout"}') == 2
    assert server.metric('bodkin_http_failed_total{reason="timeout"}') == 1
    assert server.get("/healthz", tls=True)[0] == 200
    server.close()


def one_address_gets_its_share_only():
    server = Server("--per-address-max", "3")
    clients = [socket.create_connection(("127.0.0.1", server.plain)) for _ in range(4)]
    closed, _, _ = select.select(clients, [], [], 5)
    assert len(closed) == 1 and closed[0].recv(1) == b"", len(closed)
    clients.remove(closed[0])
    clients[0].close()
    time.sleep(0.2)
    assert server.get("/healthz")[0] == 200
    for client in clients:
        client.close()
    server.close()


def clients_are_told_when_it_stops():
    server = Server()
    client = socket.create_connection(("127.0.0.1", server.plain), timeout=10)
    client.sendall(b"GET /derp HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n")
    assert client.recv(12) == b"HTTP/1.1 101"
    server.close()
    client.close()


def mistakes_are_one_sentence():
    def refused(*words):
        done = subprocess.run([BODKIN, "serve", *words], capture_output=True, text=True, timeout=60)
        assert done.stdout == "" and len(done.stderr.splitlines()) == 1, (done.stdout, done.stderr)
        return done.returncode, done.stderr

    assert refused("--nonsense")[0] == 2
    assert refused("--https", "70000")[0] == 2
    assert refused("--https")[0] == 2
    assert refused("--listen", "somewhere")[0] == 2
    assert "cannot read" in refused("--config", "/nonexistent")[1]
    server = Server()
    status, sentence = refused("--listen", "127.0.0.1", "--https", str(server.https), "--stun", "0",
                               "--state", server.state)
    assert status == 1 and "taken" in sentence, sentence
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    config = os.path.join(folder, "config")
    with open(config, "w") as file:
        file.write("[server]\nlog-json = yes\nper-address-max = 2\n")
    second = Server("--config", config, "--log-json=no")
    second.close()
    with open(config, "a") as file:
        file.write("htps = 1\n")
    assert "line 4" in refused("--config", config)[1]
    help_text = subprocess.run([BODKIN, "serve", "--help"], capture_output=True, text=True, timeout=60)
    lines = help_text.stdout.splitlines()
    assert help_text.returncode == 0 and len(lines) <= 25 and max(map(len, lines)) <= 80, lines
    shutil.rmtree(folder)
    server.close()


run([pages_answer, the_pin_is_the_certificates, upgrades_become_relay_connections,
     stun_answers_over_udp, stun_answers_over_tcp, sighup_changes_the_certificate,
     random_bytes_hurt_nobody, slow_clients_are_shown_the_door, one_address_gets_its_share_only,
     clients_are_told_when_it_stops, mistakes_are_one_sentence])
