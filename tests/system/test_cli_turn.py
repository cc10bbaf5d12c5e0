#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin turn` from outside, against `bodkin serve` on loopback: what it says of an allocation, that a
load arrives and is counted, both ways and with a peer of its own or another's; rates; what is used by a
server's process; mistakes in words; the password stays out of `ps`."""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

from serve import BODKIN, Server, run

USER = "joe:secret"


def serve(*options, workers=1):
    return Server("--turn-user", USER, "--relay-address", "127.0.0.1", "--allow-peer", "127.0.0.0/8",
                  "--turns", "0", "--throttle", "0", *options, workers=workers)


def turn(*words, status=0, user=True, timeout=60):
    argv = [BODKIN, "turn", *words] + (["--user", USER] if user else [])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == status, f"{argv}: {done.returncode}, {done.stdout} {done.stderr}"
    return done


def measured(*words, **more):
    return json.loads(turn(*words, "--json", **more).stdout)


def test_allocate():
    """Addresses, lifetime and times, over UDP and TCP; a wrong password is a sentence."""
    server = serve()
    at = f"127.0.0.1:{server.stun}"
    said = measured("allocate", at, "--lifetime", "700")
    assert said["relayed"].startswith("127.0.0.1:") and said["mapped"].startswith("127.0.0.1:"), said
    assert said["transport"] == "udp" and said["lifetime_s"] == 700 and said["allocate_ms"] > 0, said
    assert "relayed" in turn("allocate", at).stdout
    said = measured("allocate", f"turn:{at}?transport=tcp")
    assert said["transport"] == "tcp" and said["relayed"].startswith("127.0.0.1:"), said
    said = measured("echo", f"turn:{at}?transport=tcp", "--seconds", "1", "--rate", "50")
    assert said["came_back"] == said["sent"] > 20, said
    wrong = turn("allocate", at, "--user", "joe:wrong", status=1, user=False)
    assert "401" in wrong.stderr, wrong.stderr
    server.close()


def test_echo_and_flood():
    """What is sent slowly arrives completely, up, down and back, and the times are told."""
    server = serve()
    at = f"127.0.0.1:{server.stun}"
    said = measured("echo", at, "--seconds", "1", "--rate", "50")
    assert said["came_back"] == said["sent"] > 20, said
    assert 0 < said["round_trip"]["p50_us"] <= said["round_trip"]["max_us"], said
    said = measured("flood", at, "--flows", "5", "--burst", "4", "--rate", "400", "--seconds", "1",
                    "--up", "--down", "--latency", "--cpu-of", str(server.process.pid))
    assert said["up_relayed"] == said["up_sent"] > 100, said
    assert said["down_relayed"] == said["down_sent"] > 100, said
    assert said["cpu_s"] > 0 and said["rss_kb"] > 1000, said
    assert said["up_p50_us"] > 0 and said["down"]["p50_us"] > 0, said
    server.close()


def test_other_peer():
    """The peer may be another program, which ends when it is told to; loads are of any size."""
    server = serve()
    with subprocess.Popen([BODKIN, "turn", "peer", "127.0.0.1:0"], stdout=subprocess.PIPE,
                          text=True) as peer:
        where = peer.stdout.readline().split()[1]
        said = measured("flood", f"127.0.0.1:{server.stun}", "--peer", where, "--flows", "3",
                        "--size", "1200", "--burst", "2", "--rate", "100", "--seconds", "1")
        assert said["up_relayed"] == said["up_sent"] > 20, said
        said = measured("flood", f"127.0.0.1:{server.stun}", "--peer", where, "--down", "--rate",
                        "100", "--burst", "1", "--seconds", "1")
        assert said["down_relayed"] == said["down_sent"] > 20 and "up_sent" not in said, said
        peer.terminate()
        assert peer.wait(10) == 0
    server.close()


def test_rates():
    """Allocations are made, held and given back; Binding answers are counted."""
    server = serve()
    at = f"127.0.0.1:{server.stun}"
    said = measured("alloc-rate", at, "--count", "20", "--window", "5")
    assert said["allocated"] == 20 and said["allocate"]["count"] == 20, said
    assert said["releases_per_s"] > 0, said
    said = measured("binding-rate", at, "--seconds", "1", "--window", "4", user=False)
    assert said["answers"] > 0 and said["answers_per_s"] > 0, said
    server.close()


def test_a_dead_server():
    """Nobody there: a sentence and status 1, soon."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        failed = turn("alloc-rate", f"127.0.0.1:{port}", "--count", "2", status=1)
        assert "0 of 2 allocations" in failed.stderr, failed.stderr


def test_mistakes():
    """One line on standard error, and status 2."""
    for words, text in ((("allocate",), "which server"), (("swim", "x"), "which server"),
                        (("flood", "127.0.0.1", "--burst", "61"), "--burst is 1 to 60"),
                        (("flood", "turns:127.0.0.1"), "UDP only"),
                        (("allocate", "turn:"), "is not a server"),
                        (("peer", "127.0.0.1"), "is not ADDRESS:PORT")):
        done = turn(*words, status=2)
        assert text in done.stderr and done.stderr.count("\n") == 1, done.stderr
    done = turn("allocate", "127.0.0.1", "--user", "joe", status=2, user=False)
    assert "NAME:PASSWORD" in done.stderr, done.stderr


def test_the_password_is_hidden():
    """Not in the process list, and a file or the environment will do."""
    server = serve()
    at = f"127.0.0.1:{server.stun}"
    with subprocess.Popen([BODKIN, "turn", "echo", at, "--user", USER, "--seconds", "3"],
                          stdout=subprocess.DEVNULL) as tool:
        until, line = time.monotonic() + 5, b"secret"
        while b"secret" in line and time.monotonic() < until:
            time.sleep(0.02)
            with open(f"/proc/{tool.pid}/cmdline", "rb") as f:
                line = f.read()
        assert b"secret" not in line, line
        tool.terminate()
    with tempfile.NamedTemporaryFile("w") as f:
        f.write(USER + "\n")
        f.flush()
        turn("allocate", at, "--user", "@" + f.name, user=False)
    done = subprocess.run([BODKIN, "turn", "allocate", at], capture_output=True, check=False,
                          env={**os.environ, "BODKIN_TURN_USER": USER})
    assert done.returncode == 0, done.stderr
    server.close()


if __name__ == "__main__":
    wanted = sys.argv[1:]
    run([test for name, test in sorted(globals().items())
         if name.startswith("test_") and (not wanted or name in wanted)])
