#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TURN by every door with clients that are not this test's: our own driver (`bodkin ice`) over UDP,
TCP, TLS and DTLS, and coturn's turnutils_uclient in the modes that use them; certificates that are
read again."""
import asyncio
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import serve  # noqa: E402
import test_ice_turn  # noqa: E402
import turn  # noqa: E402

FOLDER = tempfile.mkdtemp(prefix="bodkin-test-")
TURNS = test_ice_turn.free_port()


def certificate(name):
    return test_ice_turn.make_certificate(FOLDER, name, "DNS:localhost,IP:127.0.0.1")


os.chmod(FOLDER, 0o755)
KEY, CERT = certificate("first")
USER, PASSWORD = test_ice_turn.USER, test_ice_turn.PASSWORD
SERVER = serve.Server("--turn-user", f"{USER}:{PASSWORD}", "--allow-peer", "127.0.0.0/8",
                      "--turns", str(TURNS), "--cert", CERT, "--key", KEY)


def our_own_client():
    for uri in (f"turn:127.0.0.1:{SERVER.stun}", f"turn:127.0.0.1:{SERVER.stun}?transport=tcp",
                f"turns:localhost:{TURNS}", f"turns:127.0.0.1:{TURNS}?transport=udp",
                f"turns:localhost:{SERVER.https}"):
        asyncio.run(test_ice_turn.connects(uri, CERT))


def every_length_over_dtls():
    """A Data indication is padded also where records have lengths of their own: RFC 8489 section
    14 has an attribute's padding in the message's length."""
    with turn.dtls(TURNS) as sock:
        client, peer = turn.Client(sock, USER, PASSWORD, again=1), turn.udp_peer()
        relayed = client.allocate()
        client.permit("127.0.0.1")
        for text in (b"one", b"four", b"five5", b"sixsix", b"eleven eleven"):
            peer.sendto(text, relayed)
            assert client.data() == (peer.getsockname(), text)


def coturns_client():
    """Two clients that talk to each other through their relays. Without a cipher of TLS 1.2 it
    tries TLS 1.0 and DTLS 1.0 at random, and waits for ever for the latter."""
    if shutil.which("turnutils_uclient") is None:
        print("  left out: turnutils_uclient is not installed")
        return
    cipher = ["-F", "ECDHE-ECDSA-AES256-GCM-SHA384"]
    modes = {"tcp": ["-t"], "tls": ["-t", "-S"], "dtls": ["-S"], "tcp relay": ["-t", "-T"],
             "tcp relay over tls": ["-t", "-S", "-T"]}
    running = {}
    for name, mode in modes.items():
        port = TURNS if "-S" in mode else SERVER.stun
        command = ["turnutils_uclient", *mode, *cipher, "-c", "-y", "-n", "5", "-m", "1", "-l", "170",
                   "-e", "127.0.0.1", "-u", USER, "-w", PASSWORD, "-p", str(port), "127.0.0.1"]
        running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                         text=True)
    for name, client in running.items():
        try:
            out = client.communicate(timeout=60)[0]
        finally:
            client.kill()
        found = re.search(r"Total lost packets (\d+)", out)
        assert found and found[1] == "0", f"{name}: {out[-600:]}"
        assert re.search(r"tot_send_msgs=10, tot_recv_msgs=10|tot_recv_bytes ~ [1-9]", out), out


def shown(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port), 15)) as sock:
        return ssl.DER_cert_to_PEM_cert(sock.getpeercert(True))


def shown_by_dtls(port):
    return subprocess.run(["openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{port}"],
                          input="", capture_output=True, text=True, timeout=30).stdout


def certificates_are_read_again():
    def first_of(file):
        with open(file) as text:
            return ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(text.read()))

    before = turn.Client(turn.tls(turn.connect(TURNS)), USER, PASSWORD)
    before.allocate()
    key, cert = certificate("second")
    for source, sink in ((key, KEY), (cert, CERT)):
        shutil.copy(source, sink)
    SERVER.signal(signal.SIGHUP)
    SERVER.wait_for_log("reload")
    for port in (TURNS, SERVER.https, SERVER.stun):
        for _ in range(50):
            if shown(port) == first_of(cert):
                break
        assert shown(port) == first_of(cert), port
    assert first_of(cert).split()[3] in shown_by_dtls(TURNS)
    asyncio.run(test_ice_turn.connects(f"turns:localhost:{TURNS}?transport=udp", cert))
    assert SERVER.metric('bodkin_dtls_handshakes_failed_total{reason="limit"}') == 0
    before.refresh(600)  # who was there stays
    SERVER.close()


if __name__ == "__main__":
    if shutil.which("openssl") is None:
        print("skipped: openssl is not installed")
        sys.exit(77)
    try:
        serve.run([every_length_over_dtls, our_own_client, coturns_client, certificates_are_read_again])
    finally:
        shutil.rmtree(FOLDER)
