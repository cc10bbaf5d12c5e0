#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Everything at once for a few seconds: relay clients on all workers, STUN, pages, certificate
changes, clients that come and vanish. Afterwards the numbers add up. This is also what the server is
run with under ThreadSanitizer."""
import os
import random
import shutil
import signal
import socket
import ssl
import threading
import time

from derp import Client
from serve import Server, run, stun_mapped, stun_request

SECONDS = float(os.environ.get("SECONDS_OF_LOAD", "4"))
CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


class Load:
    def __init__(self, server):
        self.server, self.until = server, time.monotonic() + SECONDS
        self.failures, self.lock, self.done = [], threading.Lock(), {}

    def running(self):
        return time.monotonic() < self.until

    def count(self, what):
        with self.lock:
            self.done[what] = self.done.get(what, 0) + 1

    def thread(self, work, *args):
        def guarded():
            try:
                work(*args)
            except Exception as error:
                with self.lock:
                    self.failures.append(f"{work.__name__}: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded)
        thread.start()
        return thread

    def talk(self, seed):
        """Two clients, most likely on different workers, bounce packets."""
        dice = random.Random(seed)
        ends = [Client(("127.0.0.1", self.server.https), os.urandom(32), wrap=CONTEXT.wrap_socket),
                Client(("127.0.0.1", self.server.plain), os.urandom(32))]
        while self.running():
            data = dice.randbytes(dice.choice((1, 1000, 20000)))
            ends[0].send(ends[1].public, data)
            assert ends[1].receive() == (ends[0].public, data)
            ends.reverse()
            self.count("packets")
        for end in ends:
            end.close()

    def come_and_go(self):
        secret, boxes = os.urandom(32), {}
        while self.running():
            Client(("127.0.0.1", self.server.plain), secret, boxes=boxes).close()
            self.count("visits")

    def ask_stun(self):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.settimeout(10)
        while self.running():
            client.sendto(stun_request(), ("127.0.0.1", self.server.stun))
            stun_mapped(client.recv(2048))
            self.count("stun")

    def read_pages(self):
        while self.running():
            assert self.server.get("/metrics", tls=True)[0] == 200
            self.count("pages")

    def change_certificate(self):
        while self.running():
            self.server.signal(signal.SIGHUP)
            self.count("reloads")
            time.sleep(0.1)


def everything_at_once():
    other = Server()
    chain = os.path.join(other.dir, "chain.pem")
    shutil.copy(os.path.join(other.state, "tls.pem"), chain)
    server = Server("--cert", chain, "--throttle", "0", workers=4)
    load = Load(server)
    threads = [load.thread(load.talk, seed) for seed in range(4)]
    threads += [load.thread(load.come_and_go), load.thread(load.ask_stun), load.thread(load.read_pages),
                load.thread(load.change_certificate)]
    for thread in threads:
        thread.join()
    assert load.failures == [], load.failures
    print(", ".join(f"{count} {what}" for what, count in sorted(load.done.items())))
    server.wait_for_metric("bodkin_relay_connections", 0)
    server.wait_for_metric('bodkin_stun_requests_total{result="mapped"}', load.done["stun"])
    assert server.metric('bodkin_relay_forwarded_total{direction="out"}') > 0
    server.close()
    other.close()


run([everything_at_once])
