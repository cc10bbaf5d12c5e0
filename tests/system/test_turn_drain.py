#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGUSR1 empties a server: nobody new, those that are here stay, and it ends if it was asked to."""
import os
import signal
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from serve import Server, run
from turn import Client, Refused

OPTIONS = ("--turn-user", "alice:sesame", "--turns", "0", "--relay-ports", "20000-29999")


def client(server):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", server.stun))
    return Client(sock, "alice", "sesame")


def code_of(action, *arguments):
    try:
        action(*arguments)
        return 0
    except Refused as refused:
        return refused.code


def nobody_new_and_the_end():
    server = Server(*OPTIONS, "--drain-exit")
    stays = client(server)
    stays.allocate()
    server.signal(signal.SIGUSR1)
    server.wait_for_log(" draining left=1", 15)
    assert [code_of(client(server).allocate) for _ in range(6)] == [508] * 6
    server.signal(signal.SIGHUP)  # changes nothing of that
    server.wait_for_log(" reload ", 10)
    assert [code_of(client(server).allocate) for _ in range(6)] == [508] * 6
    stays.refresh(600)
    assert " drained " not in server.logged()
    stays.refresh(0)
    assert server.process.wait(30) == 0
    server.wait_for_log(" drained left=0")
    server.close()


def it_stays_when_nobody_asked():
    server = Server(*OPTIONS, "--alternate-server", "192.0.2.9")
    server.signal(signal.SIGUSR1)
    server.signal(signal.SIGUSR1)
    server.wait_for_log(" drained left=0", 15)
    assert code_of(client(server).allocate) == 300
    assert client(server).binding()[0] == "127.0.0.1"
    time.sleep(0.1)
    assert server.process.poll() is None
    server.close()


run([nobody_new_and_the_end, it_stays_when_nobody_asked])
