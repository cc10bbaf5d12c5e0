#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TURN under churn: allocations made, loaded, given back, left to expire and cut off, again and again;
afterwards the server has none left and its memory is what it was after the first rounds. A few rounds
here; BODKIN_SOAK is how many seconds `make soak` has for it (1: two minutes)."""
import json
import os
import subprocess
import sys
import time

from serve import BODKIN, Server

USER = "joe:secret"
SOAK = int(os.environ.get("BODKIN_SOAK", "0"))
SECONDS = {0: 6, 1: 120}.get(SOAK, SOAK)
GROWTH_KIB = 64 * 1024  # what sanitizers put into quarantine; without them it was 0.1 MB


def sanitized():
    with open(BODKIN, "rb") as program:
        return b"__asan_init" in program.read()


def turn(server, *words):
    argv = [BODKIN, "turn", *words, "--user", USER, "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{argv[1:]}: {done.stderr} {server.logged()[-500:]}"
    return json.loads(done.stdout)


def cut_off(server, at):
    """A client that dies with its allocations: they end by themselves. It has an address of its own:
    who got one of its ports meanwhile would be refused (437)."""
    argv = [BODKIN, "turn", "echo", at, "--flows", "5", "--lifetime", "600", "--user", USER,
            "--seconds", "30", "--from", "127.0.0.9"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tool:
        time.sleep(0.3)
        tool.kill()


def one_round(server, at):
    said = turn(server, "alloc-rate", at, "--count", "100")
    assert said["allocated"] == 100, said
    said = turn(server, "flood", at, "--flows", "10", "--burst", "3", "--rate", "3000", "--seconds",
                "1", "--up", "--down")
    assert said["up_relayed"] > 0.5 * said["up_sent"] and said["down_relayed"] > 0, said
    turn(server, "allocate", f"turn:{at}?transport=tcp")


def test_churn():
    server = Server("--turn-user", USER, "--relay-address", "127.0.0.1", "--allow-peer",
                    "127.0.0.0/8", "--turns", "0", "--throttle", "0", "--user-allocations-max", "0",
                    workers=2)
    at = f"127.0.0.1:{server.stun}"
    begun, rounds, early = time.monotonic(), 0, 0
    while rounds < 2 or time.monotonic() - begun < SECONDS:
        one_round(server, at)
        if rounds % 10 == 1:
            cut_off(server, at)
        rounds += 1
        if rounds == 2 or (SOAK and time.monotonic() - begun < SECONDS / 4):
            early = server.memory_kib()
    grown = server.memory_kib() - early
    limit = GROWTH_KIB if sanitized() else max(2048, early // 10)
    assert grown <= limit, f"{grown} KiB more than {early} after {rounds} rounds"
    print(f"{rounds} rounds, {early} KiB, {grown:+d}")
    server.close()


if __name__ == "__main__":
    try:
        test_churn()
    except AssertionError as error:
        print("FAILED:", error)
        sys.exit(1)
