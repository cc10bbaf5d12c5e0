#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Relays reached by UDP, TCP, TLS and DTLS, coturn's, on loopback: two agents that may use a relay
alone connect and talk; a server whose certificate is not the one trusted, or is another name's, is
not used."""
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop", "ice"))
import lines  # noqa: E402

BODKIN = os.environ.get("BODKIN", "bodkin")
USER, PASSWORD = "user", "a-password"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def make_certificate(folder, name, alternatives):
    key, cert = (os.path.join(folder, name + end) for end in (".key", ".pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=" + alternatives, "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    os.chmod(key, 0o644)
    return key, cert


def start_turnserver(folder, key, cert):
    """Gives the process, its plain port and its secure one."""
    os.chmod(folder, 0o755)
    plain, secure = free_port(), free_port()
    server = subprocess.Popen(
        ["turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", str(plain),
         "--tls-listening-port", str(secure), "-a", "-u", f"{USER}:{PASSWORD}", "-r", "example",
         "--cert", cert, "--pkey", key, "--no-cli", "--allow-loopback-peers", "-m", "1",
         "--pidfile", os.path.join(folder, "pid"), "--log-file", "stdout"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 15
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", secure), 1).close()
            return server, plain, secure
        except OSError:
            time.sleep(0.05)
    server.kill()
    print("skipped: coturn does not start here")
    sys.exit(77)


async def gather(uri, ca_file, cross):
    peers = []
    for name in ("a", "b"):
        peers.append(await lines.start(name, [BODKIN, "ice", "--protocol", "--loopback",
                                              "--interface", "lo", "-4", "--ca-file", ca_file]))
    if cross:
        lines.cross(*peers)
    for peer, role in zip(peers, ("controlling", "controlled")):
        lines.begin(peer, role, [(uri, USER, PASSWORD)], "relay")
    for peer in peers:
        await peer.wait("gathered", 30)
    return peers


async def connects(uri, ca_file):
    peers = await gather(uri, ca_file, True)
    for peer in peers:
        await peer.wait("connected", 30)
        found = [args for _, word, args in peer.events if word == "candidate"]
        assert found and all(" typ relay " in c for c in found), found
    peers[0].tell("send there")
    peers[1].tell("send and back")
    await peers[1].wait("data", 10, "there")
    await peers[0].wait("data", 10, "and back")
    for peer in peers:
        await peer.end()


async def is_refused(uri, ca_file):
    for peer in await gather(uri, ca_file, False):
        found = [args for _, word, args in peer.events if word == "candidate"]
        assert not found, found
        await peer.end()


def main():
    for tool in ("turnserver", "openssl"):
        if shutil.which(tool) is None:
            print(f"skipped: {tool} is not installed")
            return 77
    with tempfile.TemporaryDirectory(prefix="bodkin-test-") as folder:
        key, cert = make_certificate(folder, "relay", "DNS:localhost,IP:127.0.0.1")
        _, stranger = make_certificate(folder, "stranger", "DNS:localhost,IP:127.0.0.1")
        key2, other_name = make_certificate(folder, "other", "DNS:relay.example")
        server, plain, secure = start_turnserver(folder, key, cert)
        try:
            for uri in (f"turn:127.0.0.1:{plain}", f"turn:127.0.0.1:{plain}?transport=tcp",
                        f"turns:localhost:{secure}", f"turns:127.0.0.1:{secure}?transport=udp"):
                asyncio.run(connects(uri, cert))
            for uri in (f"turns:localhost:{secure}", f"turns:localhost:{secure}?transport=udp"):
                asyncio.run(is_refused(uri, stranger))
        finally:
            server.kill()
            server.wait()
        server, plain, secure = start_turnserver(folder, key2, other_name)
        try:
            for uri in (f"turns:localhost:{secure}", f"turns:localhost:{secure}?transport=udp"):
                asyncio.run(is_refused(uri, other_name))
        finally:
            server.kill()
            server.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
