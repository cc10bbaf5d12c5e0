#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Users that another program knows, asked over HTTP."""
import atexit
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
import serve
from serve import Server, run
from turn import Client, Refused


PORTS = ("--turns", "0", "--relay-ports", "20000-29999")  # that nobody is given unasked


class Directory:
    """Answers with what `users` has for a name: an object, None (404), or something to call."""

    def __init__(self, users, host="127.0.0.1", certificate=None):
        self.users, self.asked, self.hosts = users, [], set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(question["user"])
                assert question["realm"] == "bodkin" and self.path == "/turn"
                assert question["address"] == "127.0.0.1", question
                outer.hosts.add(self.headers["Host"])
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
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{host}:{self.server.server_port}/turn"


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


def a_host_has_a_name_and_reload_changes_it():
    first = Directory({"alice": {"password": "sesame"}}, host="localhost")
    second = Directory({"alice": {"password": "tahini"}})
    work = tempfile.mkdtemp(prefix="bodkin-test-")
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    config = os.path.join(work, "conf")

    def write(url):
        with open(config, "w") as out:
            out.write(f"turn-user = local:x\nusers-url = {url}\n" if url else "turn-user = local:x\n")

    write(first.url)
    os.chmod(work, 0o755)
    server = Server("--config", config, *PORTS, workers=1)
    assert outcome(server, "alice", "sesame") == 0
    assert first.hosts == {f"localhost:{first.server.server_port}"}, first.hosts
    for url, password, code in ((second.url, "tahini", 0), ("", "tahini", 401), (first.url, "sesame", 0)):
        reloads = server.logged().count(" reload ")
        write(url)
        server.signal(signal.SIGHUP)
        until = time.monotonic() + 10
        while server.logged().count(" reload ") == reloads:
            assert time.monotonic() < until, server.logged()
            time.sleep(0.02)
        assert outcome(server, "alice", password) == code, (url, server.logged())
    assert "restart_needed" not in server.logged()
    write("gopher://x")
    server.signal(signal.SIGHUP)
    server.wait_for_log("reload_failed")
    assert outcome(server, "alice", "sesame") == 0  # as before
    server.close()


def certificate_for(name, work):
    path = os.path.join(work, name + ".pem")
    key = path + ".key"
    done = subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                           "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                           "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", path],
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with open(path, "a") as out, open(key) as secret:
        out.write(secret.read())
    return path


def trusting(certificate, work):
    """A program whose system trusts this certificate; None: not as who we are, or not here."""
    wrapper, store = os.path.join(work, "bodkin"), "/etc/ssl/certs/ca-certificates.crt"
    with open(wrapper, "w") as out:
        out.write(f"#!/bin/sh\nmount --bind {certificate} {store} || exit 9\nexec {serve.BODKIN} \"$@\"\n")
    os.chmod(wrapper, 0o755)
    with open(wrapper + "-apart", "w") as out:
        out.write(f"#!/bin/sh\nexec unshare -m {wrapper} \"$@\"\n")
    os.chmod(wrapper + "-apart", 0o755)
    if not os.path.exists(store) or subprocess.run([wrapper + "-apart", "--version"], check=False,
                                                   capture_output=True).returncode != 0:
        print("   without root's namespaces: a certificate that is good is not tried")
        return None
    return wrapper + "-apart"


def over_https_the_certificate_is_checked():
    """By the system's CAs, of which a file of ours takes the place in a namespace of the test's."""
    work = tempfile.mkdtemp(prefix="bodkin-test-")
    atexit.register(shutil.rmtree, work, ignore_errors=True)
    certificate = certificate_for("localhost", work)
    directory = Directory({"alice": {"password": "sesame"}}, host="localhost", certificate=certificate)
    server = Server("--users-url", directory.url, *PORTS, workers=1)
    assert outcome(server, "alice", "sesame") == 401  # signed by nobody
    server.wait_for_log("users_url reason=")
    assert not directory.asked
    server.close()
    program = trusting(certificate, work)
    if program:
        server = Server("--users-url", directory.url, *PORTS, workers=1, program=program)
        assert outcome(server, "alice", "sesame") == 0, server.logged()
        server.close()
        other = directory.url.replace("localhost", "127.0.0.1")  # which is not in the certificate
        server = Server("--users-url", other, *PORTS, workers=1, program=program)
        assert outcome(server, "alice", "sesame") == 401
        server.close()


run([whom_the_directory_knows_may_come_in, an_answer_is_forgotten_in_time,
     without_an_answer_nobody_comes_in, a_host_has_a_name_and_reload_changes_it,
     over_https_the_certificate_is_checked])
