#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The RFC 5780 service under floods from very many addresses: it answers less than 1.6 times what it
got, sends nothing to who did not ask, keeps its memory, and is there for others afterwards.
SECONDS_OF_FLOOD=N changes how long each flood lasts."""
import os
import random
import socket
import struct
import threading
import time

from serve import Server, run, stun_mapped, stun_request

A1, A2 = "127.0.0.1", "127.0.0.2"
SECONDS = float(os.environ.get("SECONDS_OF_FLOOD", "0.8"))
VICTIM = "127.9.9.9"
HEADERS = 28


def change(flags):
    return struct.pack("!HHI", 0x0003, 4, flags)


def response_port(port):
    return struct.pack("!HHHH", 0x0027, 4, port, 0)


def counters(server):
    """(packets in, packets out, bytes in, bytes out), once they stand still."""
    last = None
    until = time.monotonic() + 60
    while time.monotonic() < until:
        now = tuple(server.metric(f'bodkin_udp_{what}_total{{direction="{way}"}}')
                    for what in ("datagrams", "bytes") for way in ("in", "out"))
        if now == last:
            return now
        last = now
        time.sleep(1.1)  # workers publish once a second
    raise AssertionError("the counters do not stand still")


def flood(server, requests, seed):
    """Sends as fast as Python does, from 200 sockets on as many addresses; reads no answers."""
    dice = random.Random(seed)
    sockets = []
    for _ in range(200):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind((f"127.{dice.randrange(1, 9)}.{dice.randrange(256)}.{dice.randrange(1, 255)}", 0))
        one.setblocking(False)
        sockets.append(one)
    targets = [(ip, port) for ip in (A1, A2) for port in (server.stun, server.stun + 1)]
    until, sent = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        for one in sockets:
            try:
                one.sendto(requests[sent % len(requests)], targets[dice.randrange(4)])
            except OSError:
                pass  # full; the flood goes on
            sent += 1
    for one in sockets:
        one.close()
    return sent


def polite(server, tries, patience_s=10):
    """How many of `tries` requests of a well-behaved client got an answer."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind((A1, 0))
    answered = 0
    for i in range(tries):
        client.settimeout(patience_s)
        txid = b"polite %05d" % i
        client.sendto(stun_request(txid), (A1, server.stun))
        try:
            while client.recv(2048)[8:20] != txid:
                pass
            answered += 1
        except TimeoutError:
            pass
    client.close()
    return answered


def with_flood(requests, what):
    server = Server("--listen", A2)
    assert polite(server, 20) == 20
    before, memory = counters(server), server.memory_kib()
    thread = threading.Thread(target=flood, args=(server, requests, 1))
    thread.start()
    during = polite(server, 10, 1)
    thread.join()
    got = [after - earlier for after, earlier in zip(counters(server), before)]
    packets_in, packets_out, bytes_in, bytes_out = got
    grown = server.memory_kib() - memory
    print(f"  {what}: {packets_in} packets in {SECONDS:g} s, {packets_out} out, bytes out/in "
          f"{bytes_out / bytes_in:.2f}, as packets "
          f"{(bytes_out + HEADERS * packets_out) / (bytes_in + HEADERS * packets_in):.2f}; "
          f"{during} of 10 others answered meanwhile; memory {grown:+d} KiB", flush=True)
    assert packets_in > 100
    assert packets_out <= packets_in
    assert bytes_out + HEADERS * packets_out <= 1.6 * (bytes_in + HEADERS * packets_in)
    assert grown < 49152, f"memory grew by {grown} KiB"
    assert polite(server, 20) == 20
    server.close()


def requests_that_are_answered():
    with_flood([stun_request(os.urandom(12))] * 4 +
               [stun_request(os.urandom(12), change(flags)) for flags in (2, 4, 6)], "requests")


def noise():
    dice = random.Random(2)
    padding = struct.pack("!HH", 0x0026, 1200) + bytes(1200)
    requests = [stun_request(os.urandom(12), extra) for extra in (
        b"", padding, change(6) + padding, response_port(1), change(2) + response_port(9),
        struct.pack("!HH", 0x7001, 0), struct.pack("!HH", 0x0027, 0))]
    requests += [dice.randbytes(dice.randrange(0, 600)) for _ in range(64)]
    requests += [stun_request()[:8] + dice.randbytes(dice.randrange(0, 60)) for _ in range(64)]
    with_flood(requests, "noise")


def nothing_reaches_who_did_not_ask():
    server = Server("--listen", A2, workers=4)
    victim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    victim.bind((VICTIM, 0))
    port = victim.getsockname()[1]
    asked = 0
    for _ in range(50):  # as many sockets of the victim's own address, all of whom did ask
        neighbour = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        neighbour.bind((VICTIM, 0))
        neighbour.settimeout(10)
        for extra in (b"", response_port(port), change(6) + response_port(port)):
            neighbour.sendto(stun_request(os.urandom(12), extra), (A1, server.stun))
            neighbour.recv(2048)
            asked += 1
        neighbour.close()
    victim.settimeout(0.2)
    try:
        assert False, victim.recv(2048)
    except TimeoutError:
        pass
    assert asked == 150
    victim.close()
    server.wait_for_metric('bodkin_stun_requests_total{result="not_asked"}', 100)
    server.close()


def an_asker_is_remembered_through_a_flood():
    """Up to the size of the table: 2^18 askers; this flood has far fewer addresses than that."""
    server = Server("--listen", A2)
    asker, other = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for one in (asker, other):
        one.bind((A1, 0))
        one.settimeout(10)
    asker.sendto(stun_request(), (A1, server.stun))
    asker.recv(2048)
    flood(server, [stun_request()], 3)
    other.sendto(stun_request(b"redirectedto", response_port(asker.getsockname()[1])), (A1, server.stun))
    answer = asker.recv(2048)
    assert stun_mapped(answer, b"redirectedto") == other.getsockname()
    asker.close()
    other.close()
    server.close()


run([requests_that_are_answered, noise, nothing_reaches_who_did_not_ask,
     an_asker_is_remembered_through_a_flood])
