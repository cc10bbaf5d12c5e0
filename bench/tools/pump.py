#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Both ends of a measured transfer: pump.py send MB MB_PER_S | ...  and  ... | pump.py receive

Each prints bytes and SHA-256 on standard error at the end; the receiver also every pause of 50 ms or
more between arriving bytes: `gap START SECONDS`, in seconds since the machine started."""
import hashlib, os, sys, time

BLOCK = 1 << 16


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def send(megabytes, rate):
    digest = hashlib.sha256()
    noise = os.urandom(BLOCK - 8)
    total = megabytes * 1000000
    start, done = time.monotonic(), 0
    while done < total:
        block = (done.to_bytes(8, "big") + noise)[: total - done]
        digest.update(block)
        view = memoryview(block)
        while view:
            view = view[os.write(1, view) :]
        done += len(block)
        time.sleep(max(0.0, start + done / (rate * 1e6) - time.monotonic()))
    say("sent", done, digest.hexdigest())


def receive():
    digest = hashlib.sha256()
    done, last = 0, None
    while block := os.read(0, BLOCK):
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        if last is not None and now - last >= 0.05:
            say("gap %.3f %.3f" % (last, now - last))
        last = now
        digest.update(block)
        done += len(block)
    say("received", done, digest.hexdigest())


if sys.argv[1] == "send":
    send(int(sys.argv[2]), float(sys.argv[3]))
else:
    receive()
