# SPDX-License-Identifier: MIT
"""What the tests of listen, connect and ping share: peers with a home folder of their own."""
import atexit
import hashlib
import json
import os
import re
import select
import shutil
import subprocess
import tempfile
import time

from serve import BODKIN

BROKEN = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error", "bodkin: assertion")


class Machine:
    """A folder that is one user's home on one machine."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="bodkin-test-")
        atexit.register(shutil.rmtree, self.dir, ignore_errors=True)  # also when a test fails
        self.started = []

    def environment(self, **more):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("BODKIN_", "XDG_")) and not k.lower().endswith("_proxy")}
        return {**env, "HOME": self.dir, **more}

    def start(self, *words, **how):
        peer = Peer(self, words, **how)
        self.started.append(peer)
        return peer

    def run(self, *words, timeout=30, **how):
        """Runs a command to its end; gives the finished Peer with `status` and `output`."""
        how.setdefault("stdin", subprocess.DEVNULL)
        peer = self.start(*words, **how)
        peer.finish(timeout)
        return peer

    def key(self):
        return self.run("id").output.decode().strip()

    def path(self, name):
        return os.path.join(self.dir, name)

    def digest(self, name):
        with open(self.path(name), "rb") as f:
            return hashlib.sha256(f.read()).digest()

    def close(self):
        for peer in self.started:
            peer.close()
        shutil.rmtree(self.dir)


class Peer:
    """One running bodkin. Its standard error goes to a file, so that it can never block on it."""

    def __init__(self, machine, words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=None):
        self.errors = tempfile.TemporaryFile(dir=machine.dir)
        self.output, self.status = b"", None
        self.process = subprocess.Popen([BODKIN, *words], stdin=stdin, stdout=stdout,
                                        stderr=self.errors, env=machine.environment(**(env or {})))

    def told(self):
        """What it has written to standard error so far."""
        return os.pread(self.errors.fileno(), 1 << 24, 0).decode()

    def events(self):
        """Its JSON events; every line must be one."""
        return [json.loads(line) for line in self.told().splitlines()]

    def wait_for(self, pattern, seconds=15):
        until = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.told())
            if found:
                return found
            assert time.monotonic() < until and self.process.poll() is None, \
                f"{pattern!r} is not in (status {self.process.poll()}): {self.told()}"
            time.sleep(0.02)

    def ticket(self):
        return self.wait_for(r"\bbodkin1[a-z2-7]+")[0]

    def read(self, count, seconds=20):
        """The next `count` bytes of its output; fewer at the end of it."""
        got, until = b"", time.monotonic() + seconds
        out = self.process.stdout.fileno()
        while len(got) < count:
            left = until - time.monotonic()
            assert left > 0 and select.select([out], [], [], left)[0], \
                f"{len(got)} of {count} bytes after {seconds} s: {self.told()}"
            part = os.read(out, min(count - len(got), 1 << 16))
            if not part:
                break
            got += part
        return got

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()
        self.process.stdin = None

    def finish(self, timeout=30):
        """Waits for the end, closing its standard input; gives the exit status."""
        if self.status is not None:
            return self.status
        try:
            self.output += self.process.communicate(timeout=timeout)[0] or b""
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"not over after {timeout} s: {self.told()}") from None
        self.status = self.process.returncode
        for word in BROKEN:
            assert word not in self.told(), self.told()
        return self.status

    def must_end(self, status, sentence="", timeout=30):
        got = self.finish(timeout)
        assert got == status, f"exit status {got}, not {status}: {self.told()}"
        assert sentence in self.told(), f"{sentence!r} is not in: {self.told()}"

    def signal(self, number):
        self.process.send_signal(number)

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            if stream is not None:
                stream.close()
