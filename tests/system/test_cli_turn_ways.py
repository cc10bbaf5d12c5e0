#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin turn` against `bodkin serve` on loopback: other networks, pairs of ports, peers by TCP, access
tokens, and a server that names another."""
import json
import signal
import socket
import sys
import tempfile
import threading

from serve import run
from test_cli_turn import measured, serve, turn

TOKEN_KEY = "north:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def test_another_network():
    """The relayed address survives a change of sockets and connections, whichever worker gets them."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        turns = held.getsockname()[1]
    server = serve("--turns", str(turns), workers=2)
    for at in (f"turn:127.0.0.1:{server.stun}", f"turn:127.0.0.1:{server.stun}?transport=tcp",
               f"turns:127.0.0.1:{turns}"):
        said = measured("echo", at, "--mobility", "--insecure", "--seconds", "1", "--rate", "50")
        assert said["mobility"] == "yes" and said["move_ms"] > 0, said
        assert said["came_back"] == said["sent"] > 20, said
    server.close()


def test_a_pair_of_ports():
    """The second client gets the odd port after the first one's."""
    server = serve()
    said = measured("allocate", f"127.0.0.1:{server.stun}", "--reserve")
    first, second = (int(said[name].split(":")[1]) for name in ("relayed", "relayed_next"))
    assert first % 2 == 0 and second == first + 1, said
    server.close()


def give_back(listener):
    with listener.accept()[0] as one:
        while data := one.recv(4096):
            one.sendall(data)


def test_a_peer_by_tcp():
    """RFC 6062: what is sent comes back through the server; a peer that is not there is 447."""
    server = serve(workers=2)
    at = f"turn:127.0.0.1:{server.stun}?transport=tcp"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = "127.0.0.1:%d" % listener.getsockname()[1]
        threading.Thread(target=give_back, args=(listener,), daemon=True).start()
        said = measured("allocate", at, "--tcp-peer", peer, "--size", "1400")
        assert said["peer_bytes_back"] == 1400 and said["peer_join_ms"] > 0, said
    assert "447" in turn("allocate", at, "--tcp-peer", peer, status=1).stderr
    assert "over TCP" in turn("allocate", f"127.0.0.1:{server.stun}", "--tcp-peer", peer,
                              status=2).stderr
    server.close()


def test_an_access_token():
    """Made here, taken there; for another server it is worth nothing."""
    server = serve("--turn-token-key", TOKEN_KEY, "--realm", "example.org")
    for name, status in (("example.org", 0), ("example.com", 1)):
        made = turn("token", name, "--token-key", TOKEN_KEY, "--lifetime", "300", user=False)
        assert json.loads(made.stdout)["kid"] == "north", made.stdout
        with tempfile.NamedTemporaryFile("w") as f:
            f.write(made.stdout)
            f.flush()
            done = turn("allocate", f"127.0.0.1:{server.stun}", "--token", f.name, "--json",
                        status=status, user=False)
            assert status == 1 or json.loads(done.stdout)["lifetime_s"] <= 300, done.stdout
    assert "KID:KEY" in turn("token", "x", "--token-key", "north:short", status=2, user=False).stderr
    server.close()


def test_another_server():
    """300: it asks the server that is named."""
    second = serve()
    first = serve("--alternate-server", f"127.0.0.1:{second.stun}")
    first.signal(signal.SIGUSR1)
    first.wait_for_log(" drain new", 15)
    at = f"127.0.0.1:{first.stun}"
    said = measured("allocate", at)
    assert said["redirected_to"] == f"127.0.0.1:{second.stun}", said
    assert said["relayed"].startswith("127.0.0.1:"), said
    second.close()
    first.close()


if __name__ == "__main__":
    wanted = sys.argv[1:]
    run([test for name, test in sorted(globals().items())
         if name.startswith("test_") and (not wanted or name in wanted)])
