#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Users that another program knows, asked over HTTP."""
import http.server
import json
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from serve import Server, run
from turn import Client, Refused


PORTS = ("--turns", "0", "--relay-ports", "20000-29999")  # that nobody is given unasked


class Directory:
    """Answers with what `users` has for a name: an object, None (404), or something to call."""

    def __init__(self, users):
        self.users, self.asked = users, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(question["user"])
                assert question["realm"] == "bodkin" and self.path == "/turn"
                answer = outer.users.get(question["user"])
                if callable(answer):
                    answer = answer()
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(404 if answer is None else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass  # the server gave up

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/turn"


def outcome(server, user, password, stream=False):
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", server.stun))
    try:
        one = Client(sock, user, password)
        one.allocate()
        one.refresh(0)
        return 0
    except Refused as refused:
        return refused.code
    finally:
        sock.close()


def whom_the_directory_knows_may_come_in():
    directory = Directory({"alice": {"password": "sesame", "allocations": 5, "ttl": 60},
                           "bob": None, "broken": b"<html>", "empty": {}})
    server = Server("--users-url", directory.url, "--turn-user", "local:x", *PORTS, workers=1)
    for stream in (False, True):  # no client here sends twice: what waits is kept
        assert outcome(server, "alice", "sesame", stream) == 0
        assert outcome(server, "alice", "simsim", stream) == 401
        assert outcome(server, "local", "x", stream) == 0
        for name in ("bob", "broken", "empty"):
            assert outcome(server, name, "sesame", stream) == 401, name
    assert directory.asked.count("alice") == 1 and "local" not in directory.asked, directory.asked
    assert "sesame" not in server.logged()
    server.close()


def an_answer_is_forgotten_in_time():
    directory = Directory({"alice": {"password": "sesame", "ttl": 1}})
    server = Server("--users-url", directory.url, *PORTS, workers=1)
    assert outcome(server, "alice", "sesame") == 0
    directory.users["alice"] = {"password": "tahini", "ttl": 1}
    until = time.monotonic() + 10
    while outcome(server, "alice", "tahini") != 0:
        assert time.monotonic() < until
        time.sleep(0.2)
    server.close()


def without_an_answer_nobody_comes_in():
    late = threading.Event()
    directory = Directory({"alice": lambda: late.wait(20) and None})
    server = Server("--users-url", directory.url, *PORTS, workers=1)
    assert outcome(server, "alice", "sesame") == 401
    server.wait_for_log("users_url")
    late.set()
    server.close()
    server = Server("--users-url", "http://127.0.0.1:1/turn", *PORTS, workers=1)
    assert outcome(server, "alice", "sesame") == 401
    server.close()


run([whom_the_directory_knows_may_come_in, an_answer_is_forgotten_in_time,
     without_an_answer_nobody_comes_in])
