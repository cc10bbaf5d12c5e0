#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What leaves a host whose agent may use a relay alone, seen from the wire: nothing goes to anybody
but the relay, no password is in any packet or any trace, and over TLS nothing of TURN is readable.
coturn is the relay; both hosts stand behind NATs."""
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import kernel_nat

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "interop", "ice"))
import lab  # noqa: E402
import lines  # noqa: E402

BODKIN = os.environ.get("BODKIN", "bodkin")
COOKIE = bytes.fromhex("2112a442")  # in every message of STUN, RFC 8489 section 5
UDP, TCP = 17, 6


def others(path):
    """Addresses that the host exchanged UDP and TCP with, except its own; of IPv6 all but what a
    kernel does by itself (ICMPv6)."""
    found = set()
    for sent, packet in lab.packets(path):
        if packet[0] >> 4 == 4 and packet[9] in (UDP, TCP):
            found.add(socket.inet_ntoa(packet[16:20] if sent else packet[12:16]))
        elif packet[0] >> 4 == 6 and packet[6] in (UDP, TCP):
            found.add(socket.inet_ntop(socket.AF_INET6, packet[24:40] if sent else packet[8:24]))
    return found


async def connect(scene, folder, uri):
    """Both sides relay-only by `uri`; gives (what they said, secrets)."""
    peers, logs, secrets = [], [], [lab.PASSWORD]
    for name in ("a", "b"):
        logs.append(open(os.path.join(folder, name + ".err"), "w+b"))
        scene.capture(name, os.path.join(folder, name + ".packets"))
        peers.append(await lines.start(name, [BODKIN, "ice", "--protocol", "--trace", "--json",
                                              "--insecure"], scene.within(name), None, logs[-1]))
    lines.cross(*peers)
    for peer, role in zip(peers, ("controlling", "controlled")):
        lines.begin(peer, role, [(uri, lab.USER, lab.PASSWORD)], "relay")
    for peer in peers:
        await peer.wait("connected", 30)
    peers[0].tell("send over the relay")
    await peers[1].wait("data", 10, "over the relay")
    for peer in peers:
        secrets.append(peer.last("credentials").split(" ")[1])
        candidates = [args for _, word, args in peer.events if word == "candidate"]
        assert candidates and all(" typ relay " in c for c in candidates), candidates
        await peer.end()
        assert peer.process.returncode == 0, peer.process.returncode
    said = b""
    for log in logs:
        log.seek(0)
        said += log.read()
        log.close()
    return said, secrets


def check(name, uri, *server_options):
    with tempfile.TemporaryDirectory(prefix="bodkin-test-") as folder, \
            lab.Lab(f"ise{os.getpid()}", "prc") as scene:
        options = []
        if server_options:
            key, cert = os.path.join(folder, "key"), os.path.join(folder, "cert")
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=test",
                            "-keyout", key, "-out", cert], check=True, capture_output=True)
            os.chmod(folder, 0o755)
            os.chmod(key, 0o644)
            options = ["--cert", cert, "--pkey", key, *server_options]
        scene.turnserver(*options)
        said, secrets = asyncio.run(connect(scene, folder, uri))
        for host in ("a", "b"):
            path = os.path.join(folder, host + ".packets")
            with open(path, "rb") as f:
                wire = f.read()
            assert others(path) == {lab.SERVER}, f"{name}: {host} spoke with {others(path)}"
            for secret in secrets:
                assert secret.encode() not in wire, f"{name}: a password is on the wire"
            clear = lab.USER.encode() in wire and COOKIE in wire
            assert clear == (not server_options), f"{name}: TURN's messages are readable: {clear}"
        assert b"trace" in said, "there was something to look through"
        for secret in secrets:
            assert secret.encode() not in said, f"{name}: a password is in the trace"
        print(f"{name}: ok")


def main():
    kernel_nat.need()
    for tool in ("turnserver", "openssl"):
        if shutil.which(tool) is None:
            print(f"skipped: no {tool}")
            sys.exit(77)
    check("UDP", f"turn:{lab.SERVER}:3478")
    check("TLS", f"turns:{lab.SERVER}:5349?transport=tcp", "--tls-listening-port", "5349")


if __name__ == "__main__":
    main()
