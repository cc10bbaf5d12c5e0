#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The example programs, against a real server on loopback: the public headers are enough."""

import os
import subprocess
import sys
import tempfile

BODKIN = os.environ["BODKIN"]
ECHO = os.path.join(os.path.dirname(BODKIN), "examples", "example-echo")


def main():
    if not os.path.exists(ECHO):
        print("skipped: the examples are not built")
        return 77
    with tempfile.TemporaryDirectory() as state:
        server = subprocess.Popen(
            [BODKIN, "serve", "--listen", "127.0.0.1", "--https", "0", "--stun", "0", "--name",
             "127.0.0.1", "--state", state], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True)
        listener = None
        try:
            home = server.stdout.readline().split("home: ")[1].strip()
            listener = subprocess.Popen([ECHO, home], stdout=subprocess.PIPE, text=True)
            ticket = listener.stdout.readline().strip()
            assert ticket.startswith("bodkin1"), ticket
            first = subprocess.run([ECHO, ticket, "hello, peer"], capture_output=True, text=True,
                                   timeout=30)
            assert first.returncode == 0, first
            assert first.stdout == "hello, peer", first
            assert "relayed, because: still checking" in first.stderr, first
            second = subprocess.run([ECHO, ticket, "again"], capture_output=True, text=True,
                                    timeout=30)
            assert second.returncode == 1 and "refused" in second.stderr, second
            broken = subprocess.run([ECHO, "not-a-ticket", "x"], capture_output=True, text=True,
                                    timeout=30)
            assert broken.returncode == 1, broken
        finally:
            for process in (listener, server):
                if process is not None:
                    process.terminate()
                    process.wait(timeout=10)
    print("the example peers talk: ok")
    return 0


sys.exit(main())
