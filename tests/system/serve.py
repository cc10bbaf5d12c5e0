# SPDX-License-Identifier: MIT
"""What the tests of `bodkin serve` share: starting one, asking it over HTTP and STUN."""
import atexit
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import zlib

BODKIN = os.environ.get("BODKIN", "bodkin")
COOKIE = 0x2112A442


class Server:
    """A server on free loopback ports, with its own state folder."""

    def __init__(self, *options, state=None, workers=2, program=BODKIN):
        self.dir = tempfile.mkdtemp(prefix="bodkin-test-")
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)  # also when a test fails
        self.state = state or os.path.join(self.dir, "state")
        self.log = open(os.path.join(self.dir, "log"), "w+")
        command = [program, "serve", "--listen", "127.0.0.1", "--https", "0", "--stun", "0",
                   "--plain-http", "0", "--workers", str(workers), "--state", self.state, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        self.home = self.process.stdout.readline().strip()
        found = re.fullmatch(r"home: https://127\.0\.0\.1:(\d+)\?stun=(\d+)(?:#([\w-]{43}))?", self.home)
        if not found:
            self.kill()
            raise AssertionError(f"no home line but {self.home!r}; log: {self.logged()}")
        self.https, self.stun, self.pin = int(found[1]), int(found[2]), found[3]
        self.plain = int(re.search(r"plain_http\"?[=:](\d+)", self.logged())[1])

    def logged(self):
        with open(self.log.name) as log:
            return log.read()

    def wait_for_log(self, text, seconds=5):
        until = time.monotonic() + seconds
        while text not in self.logged():
            assert time.monotonic() < until, f"{text!r} is not in the log: {self.logged()}"
            time.sleep(0.02)

    def signal(self, number):
        self.process.send_signal(number)

    def get(self, path, tls=False, method="GET", headers=None):
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            connection = http.client.HTTPSConnection("127.0.0.1", self.https, timeout=15, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=15)
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body, answer

    def metric(self, name):
        """The metric's value; `name` may carry labels."""
        for line in self.get("/metrics")[1].splitlines():
            if line.rsplit(" ", 1)[0] == name:
                return int(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no metric {name}")

    def wait_for_metric(self, name, value, seconds=60):
        """Workers publish some numbers once a second only."""
        until = time.monotonic() + seconds
        while self.metric(name) != value:
            assert time.monotonic() < until, f"{name} is {self.metric(name)}, not {value}"
            time.sleep(0.1)

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; gives the exit status and the seconds it took."""
        start = time.monotonic()
        self.signal(signal.SIGTERM)
        try:
            status = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server did not end within 10 s")
        took = time.monotonic() - start
        rest = self.process.stdout.read()
        assert rest == "", f"more than one line on standard output: {rest!r}"
        return status, took

    def close(self):
        status, took = self.stop()
        log = self.logged()
        shutil.rmtree(self.dir)
        assert status == 0, f"exit status {status}; log: {log}"
        assert took < 2 * SLOWNESS, f"stopping took {took:.1f} s"
        assert "ERROR: AddressSanitizer" not in log and "runtime error" not in log, log
        assert "WARNING: ThreadSanitizer" not in log, log


# Sanitizers make everything slower; the bounds on time are about being stuck, not about speed.
SLOWNESS = 5


def stun_request(txid=b"abcdefghijkl", attributes=b"", fingerprint=False):
    length = len(attributes) + (8 if fingerprint else 0)
    message = struct.pack("!HHI12s", 1, length, COOKIE, txid) + attributes
    if fingerprint:
        message += struct.pack("!HHI", 0x8028, 4, zlib.crc32(message) ^ 0x5354554E)
    return message


def stun_mapped(message, txid=b"abcdefghijkl"):
    """The (address, port) that a Binding success response tells."""
    kind, length, cookie, got = struct.unpack("!HHI12s", message[:20])
    assert (kind, cookie, got) == (0x0101, COOKIE, txid), message
    assert length == len(message) - 20
    at = 20
    while at < len(message):
        attribute, size = struct.unpack("!HH", message[at:at + 4])
        if attribute == 0x0020:
            _, family, port, address = struct.unpack("!BBHI", message[at + 4:at + 12])
            assert family == 1
            return socket.inet_ntoa(struct.pack("!I", address ^ COOKIE)), port ^ (COOKIE >> 16)
        at += 4 + (size + 3) // 4 * 4
    raise AssertionError("no XOR-MAPPED-ADDRESS")


def run(tests):
    """Runs the functions; prints one line each; exits with the number of failures."""
    failed = 0
    for test in tests:
        start = time.monotonic()
        try:
            test()
            verdict = "ok"
        except Exception as error:  # a test that breaks is a test that fails
            failed += 1
            verdict = f"FAILED: {type(error).__name__}: {error}"
        print(f"{test.__name__}: {verdict} ({time.monotonic() - start:.1f} s)", flush=True)
    sys.exit(1 if failed else 0)
