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
from turn import ALLOCATE, TRANSPORT, Client, Refused, attribute

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


def alternate_of(server):
    """Where ALTERNATE-SERVER of a 300 points to."""
    one = client(server)
    assert code_of(one.allocate) == 300
    answer = one.once(ALLOCATE, attribute(TRANSPORT, bytes([17, 0, 0, 0])))
    return socket.inet_ntoa(answer.attributes[0x8023][4:8])


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


def new_ones_are_sent_elsewhere():
    server = Server(*OPTIONS, "--drain-to", "192.0.2.7", "--alternate-server", "192.0.2.9")
    assert alternate_of(server) == "192.0.2.9"
    server.signal(signal.SIGUSR1)
    server.wait_for_log(" drained left=0", 15)
    assert alternate_of(server) == "192.0.2.7"
    server.close()


def an_end_with_grace():
    server = Server(*OPTIONS, "--stop-grace", "600", "--drain-to", "192.0.2.7")
    stays = client(server)
    stays.allocate()
    server.signal(signal.SIGTERM)
    server.wait_for_log(" draining left=1", 15)
    assert [code_of(client(server).allocate) for _ in range(4)] == [300] * 4
    stays.refresh(600)
    stays.refresh(0)
    assert server.process.wait(30) == 0
    server.close()


def an_end_after_grace_or_at_once():
    short = Server(*OPTIONS, "--stop-grace", "1")
    client(short).allocate()
    short.signal(signal.SIGTERM)
    assert short.process.wait(30) == 0
    assert " grace_over left=1" in short.logged()
    short.close()
    twice = Server(*OPTIONS, "--stop-grace", "600")
    client(twice).allocate()
    twice.signal(signal.SIGTERM)
    twice.wait_for_log(" draining left=1", 15)
    twice.close()  # with a second one
    empty = Server(*OPTIONS, "--stop-grace", "600")
    empty.close()


run([nobody_new_and_the_end, it_stays_when_nobody_asked, new_ones_are_sent_elsewhere,
     an_end_with_grace, an_end_after_grace_or_at_once])
