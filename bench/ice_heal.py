#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How soon a path heals on real kernels: two connected `bodkin ice` in the namespaces of
tests/interop/ice/lab.py, data every 10 ms both ways, and then one host gets another address.

    bench/ice_heal.py [--runs N]

Milliseconds from the change until data comes again, in each direction; with signalling (candidates
and restarts are carried on) and without (nothing is). BODKIN is the program; 77: no namespaces."""

import argparse
import asyncio
import os
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "tests", "interop", "ice"))
import lab  # noqa: E402
import lines  # noqa: E402

BODKIN = os.environ.get("BODKIN", os.path.join(TOP, "build/release/bodkin"))
OLD, NEW = "192.168.1.2/24", "192.168.1.77/24"
PATIENCE = 40  # seconds: longer than consent


def change_address(scene):
    """As DHCP does it in another network: the old address goes, a new one and a route come."""
    subprocess.run(["ip", "-n", scene.ns("a"), "-b", "-"], check=True, text=True, input=(
        f"address del {OLD} dev eth0\naddress add {NEW} dev eth0\n"
        "route add default via 192.168.1.1\n"))


async def chatter(peers):
    """Numbered datagrams both ways; their numbers are milliseconds of our clock."""
    while True:
        for peer in peers:
            peer.tell(f"send {int(time.monotonic() * 1000)}")
        await asyncio.sleep(0.01)


def healed(peer, changed):
    """When the first datagram came that was sent after the change; None: not yet."""
    for at, (_, word, args) in zip(peer.came_at, peer.events):
        if word == "data" and args.isdigit() and int(args) > changed * 1000:
            return (at - changed) * 1000
    return None


async def play(scene, signalling):
    a = await lines.start("a", [BODKIN, "ice", "--protocol"], scene.within("a"))
    b = await lines.start("b", [BODKIN, "ice", "--protocol"], scene.within("b"))
    try:
        lines.cross(a, b)
        lines.begin(a, "controlling")
        lines.begin(b, "controlled")
        for peer in (a, b):
            await peer.wait("selected", 10)
        talk = asyncio.ensure_future(chatter((a, b)))
        await asyncio.sleep(4)  # long enough for both to have settled
        if not signalling:
            a.handlers.clear()
            b.handlers.clear()
        changed = time.monotonic()
        await asyncio.to_thread(change_address, scene)
        while (None in (times := (healed(b, changed), healed(a, changed))) and
               time.monotonic() < changed + PATIENCE):
            await asyncio.sleep(0.01)
        talk.cancel()
        return times
    finally:
        await a.end()
        await b.end()


def one(number, signalling):
    with lab.Lab(f"heal{os.getpid()}-{number}") as scene:
        return asyncio.run(play(scene, signalling))


def word(times):
    good = sorted(t for t in times if t is not None)
    lost = len(times) - len(good)
    text = f"{good[len(good) // 2]:.0f} / {good[-1]:.0f}" if good else "–"
    return text + (f", {lost} not within {PATIENCE} s" if lost else "")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    lab.kernel_nat.need()
    print(f"Another address for one host, {options.runs} runs; ms, median / worst; "
          f"load {os.getloadavg()[0]:.1f}\n")
    print("| signalling | from the changed host | to it |\n|---|---|---|")
    lost = False
    for signalling in (True, False):
        results = [one(i, signalling) for i in range(options.runs)]
        lost = lost or any(None in r for r in results)
        print(f"| {'carried on' if signalling else 'none'} | {word([r[0] for r in results])} | "
              f"{word([r[1] for r in results])} |", flush=True)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
