#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples of ICE and TURN on loopback: two chats, two poll loops, a lite server with two
clients, and, where coturn is installed, the TURN client."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

FOLDER = os.path.join(os.path.dirname(os.environ["BODKIN"]), "examples")
LIMIT_S = 60  # a machine may be busy; what works takes a second


class Program:
    """An example on three pipes; what it prints is kept, line by line."""

    def __init__(self, name, *args):
        env = dict(os.environ, ICE_CHAT_LOOPBACK="1")
        self.process = subprocess.Popen(
            [os.path.join(FOLDER, "example-" + name), *args], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
        self.err = []
        threading.Thread(target=self.collect, daemon=True).start()

    def collect(self):
        for line in self.process.stderr:
            self.err.append(line.rstrip())

    def description(self):
        lines = []
        for line in self.process.stdout:
            if line == "\n":
                return "\n".join(lines) + "\n\n"
            lines.append(line.rstrip())
        raise AssertionError(f"no description: {self.err}")

    def line(self):
        line = self.process.stdout.readline()
        while line == "\n":
            line = self.process.stdout.readline()
        return line.rstrip()

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def wait_for(self, word, times=1):
        end = time.monotonic() + LIMIT_S
        while sum(word in line for line in self.err) < times:
            assert time.monotonic() < end and self.process.poll() is None, (word, self.err)
            time.sleep(0.01)

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=LIMIT_S) == 0, self.err


def pair(name, mark, *args):
    """Offer and answer, a line each way."""
    offer, answer = Program(name, "offer", *args), Program(name, "answer", *args)
    first, second = offer.description(), answer.description()
    assert "a=candidate:" in first and "a=ice-pwd:" in second
    offer.say(second)
    answer.say(first)
    for program in (offer, answer):
        program.wait_for("connected to")
    offer.say("hello\n")
    assert answer.line() == mark + "hello"
    answer.say("hello yourself\n")
    assert offer.line() == mark + "hello yourself"
    offer.end()
    answer.end()


def lite():
    server = Program("ice-lite", "127.0.0.1:0")
    clients = []
    for number in (1, 2):
        client = Program("ice-poll", "offer", "127.0.0.1")
        server.say(client.description())
        answer = server.description()
        assert "a=ice-lite\n" in answer, answer
        client.say(answer)
        client.wait_for("connected to")
        server.wait_for("client 127.0.0.1:", number)
        clients.append(client)
    for number, client in enumerate(clients):
        client.say(f"I am {number}\n")
        assert client.line() == f"I am {number}"
    server.say("a=ice-ufrag:x\n\n")  # not an offer, and no reason to stop
    server.wait_for("refused an offer")
    for program in (*clients, server):
        program.end()


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def turn():
    port = free_port()
    where = f"127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(LIMIT_S)
        server = subprocess.Popen(
            ["turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", str(port), "-a", "-u",
             "user:secret", "-r", "example", "--no-tls", "--no-dtls", "--no-cli",
             "--allow-loopback-peers", "--pidfile", folder + "/pid", "--userdb", folder + "/db",
             "--log-file", folder + "/log"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            client = Program("turn-client", where, "user", "secret",
                             "127.0.0.1:%d" % peer.getsockname()[1], "over the relay")
            relayed = client.line()
            assert relayed.startswith("relayed 127.0.0.1:"), (relayed, client.err)
            data, sender = peer.recvfrom(2000)
            assert data == b"over the relay"
            assert sender[1] == int(relayed.rsplit(":", 1)[1])
            peer.sendto(data.upper(), sender)
            assert client.line() == "OVER THE RELAY"
            client.end()
            wrong = Program("turn-client", where, "user", "wrong", "127.0.0.1:9", "x")
            assert wrong.process.wait(timeout=LIMIT_S) == 1
        finally:
            server.terminate()
            server.wait(timeout=LIMIT_S)


def main():
    if not os.path.exists(os.path.join(FOLDER, "example-ice-poll")):
        print("skipped: the examples are not built")
        return 77
    pair("ice-poll", "", "127.0.0.1")
    pair("ice-chat", "> ")
    lite()
    if shutil.which("turnserver"):
        turn()
    else:
        print("without turn-client: no coturn (turnserver) here")
    print("the examples of ICE connect: ok")
    return 0


sys.exit(main())
