#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What an upgrade of a loaded `bodkin serve` costs its clients: SIGUSR2 in the middle of a load, in
bench/turn.py's three network namespaces. Nothing may be lost: not a datagram, not an allocation.

    bench/turn_upgrade.py [--rate PPS] [--flows N] [--seconds S] [--upgrades N] [--reloads N]
                          [--fastpath off|auto]

--rate is of both ways together; --reloads are SIGHUPs, beside the upgrades. BODKIN is the program;
77: no namespaces here. Exit status 1: something was lost that would not have been lost without."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from turn import (BODKIN, CLIENT, LOAD_CORE, PASSWORD, PEER, PEER_PORT, PORT, SERVER, USER,
                  Network, bodkin_serve, listens)


def logged(path):
    with open(path, encoding="utf-8") as log:
        return log.read()


def wait_for(path, pattern, count, seconds):
    until = time.monotonic() + seconds
    while len(re.findall(pattern, logged(path))) < count:
        if time.monotonic() > until:
            sys.exit(f"no {pattern!r}: {logged(path)}")
        time.sleep(0.02)
    return re.findall(pattern, logged(path))


class Chain:
    """A server and those that take its place."""

    def __init__(self, net, options, folder):
        self.log = os.path.join(folder, "serve.log")
        argv = [a.format(folder=folder) for a in bodkin_serve("--fastpath", options.fastpath)]
        if options.reloads:
            with open(os.path.join(folder, "bodkin.conf"), "w", encoding="utf-8") as config:
                config.write("throttle = 0\n")
            argv += ["--config", os.path.join(folder, "bodkin.conf")]
        with open(self.log, "ab") as log:
            self.first = net.start(net.s, "1", argv, log, cwd=folder, env={**os.environ, "HOME": folder})
        until = time.monotonic() + 20
        while not listens(net):
            if time.monotonic() > until:
                sys.exit(logged(self.log))
            time.sleep(0.05)
        self.pid, self.upgrades = self.first.pid, 0

    def upgrade(self):
        os.kill(self.pid, signal.SIGUSR2)
        self.upgrades += 1
        paused = wait_for(self.log, r" handed_over paused_us=(\d+)", self.upgrades, 60)[-1]
        self.pid = int(wait_for(self.log, r" upgraded pid=(\d+)", self.upgrades, 60)[-1])
        return int(paused)

    def end(self):
        try:
            os.kill(self.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        self.first.wait(30)


def flood(net, options, seconds, log):
    peer = net.start(net.p, LOAD_CORE, [BODKIN, "turn", "peer", f"{PEER}:{PEER_PORT}"], log)
    time.sleep(0.3)
    words = ["flood", f"{SERVER}:{PORT}", "--user", f"{USER}:{PASSWORD}", "--peer",
             f"{PEER}:{PEER_PORT}", "--seconds", str(seconds), "--flows", str(options.flows),
             "--rate", str(options.rate // 2), "--size", "160", "--up", "--down", "--json"]
    load = subprocess.Popen(["ip", "netns", "exec", net.c, "taskset", "-c", LOAD_CORE, BODKIN, "turn", *words],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return peer, load


def lost_of(said):
    up = said["up_sent"] - said["up_relayed"]
    down = said["down_sent"] - said["down_relayed"]
    return int(up), int(down)


def run(net, options, folder, events):
    with open(os.path.join(folder, "load.log"), "ab") as log:
        peer, load = flood(net, options, options.seconds, log)
        time.sleep(1.0)
        events()
        out, err = load.communicate(timeout=options.seconds + 120)
        peer.terminate()
        peer.wait()
    if load.returncode != 0:
        sys.exit(f"the load failed: {err}")
    return json.loads(out.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=50000)
    parser.add_argument("--flows", type=int, default=128)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--upgrades", type=int, default=1)
    parser.add_argument("--reloads", type=int, default=0)
    parser.add_argument("--fastpath", default="off")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Network() as net:
        os.chmod(folder, 0o777)
        chain = Chain(net, options, folder)
        pauses = []

        def events():
            for _ in range(options.reloads):
                os.kill(chain.pid, signal.SIGHUP)
                time.sleep(max(0.001, (options.seconds - 3) / options.reloads))
            for i in range(options.upgrades):
                if i > 0:
                    wait_for(chain.log, " upgrade_over ", i, 60)
                pauses.append(chain.upgrade())

        try:
            calm = run(net, options, folder, lambda: None)
            said = run(net, options, folder, events)
            reloads = len(re.findall(" reload ", logged(chain.log)))
        finally:
            chain.end()
    for name, result in (("without", calm), ("with", said)):
        up, down = lost_of(result)
        print(f"{name:8} flows {options.flows}  up {int(result['up_sent'])} lost {up}  "
              f"down {int(result['down_sent'])} lost {down}  "
              f"kpps {(result['up_relayed'] + result['down_relayed']) / result['seconds'] / 1000:.1f}")
    print(f"paused   {', '.join(f'{p / 1000:.1f} ms' for p in pauses)}  reloads {reloads}")
    return 1 if sum(lost_of(said)) > sum(lost_of(calm)) else 0


sys.exit(main())
