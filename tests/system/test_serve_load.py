#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ten thousand idle relay clients over TLS: the server stays responsive, its memory is bounded and
used again. CONNECTIONS=N changes the number; it is lowered, and said, where the limit of open files
forbids it."""
import os
import resource
import socket
import ssl
import time

from derp import Client
from serve import Server, run, stun_mapped, stun_request

WANTED = int(os.environ.get("CONNECTIONS", "10000"))
SECRETS = 256  # plain Python needs 5 ms for a new key; clients that share one are all kept open
MEMORY_EACH_KIB = 256  # with sanitizers; without, 12 were measured (2 cores, gcc 12 -O2)


def possible_connections():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(WANTED + 500, soft), max(WANTED + 500, hard)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500
    if room < WANTED:
        print(f"only {room} connections instead of {WANTED}: ulimit -n forbids more")
    return min(WANTED, room)


def stun_times(server, count):
    """Milliseconds for `count` answers, sorted; a lost one fails."""
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(10)
    times = []
    for i in range(count):
        txid = b"request %04d" % i
        start = time.perf_counter()
        client.sendto(stun_request(txid), ("127.0.0.1", server.stun))
        stun_mapped(client.recv(2048), txid)
        times.append(1000 * (time.perf_counter() - start))
    client.close()
    return sorted(times)


def summary(times):
    return f"median {times[len(times) // 2]:.2f} ms, worst {times[-1]:.2f} ms"


def many_idle_clients():
    count = possible_connections()
    server = Server("--per-address-max", "0", "--connections-max", str(count + 100))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    secrets, boxes = [os.urandom(32) for _ in range(SECRETS)], {}
    stun_times(server, 50)
    before = server.memory_kib()
    closed_memory = []
    for number in (count, count // 4):  # the second time nothing may be added
        clients, answers, start = [], [], time.monotonic()
        for i in range(number):
            clients.append(Client(("127.0.0.1", server.https), secrets[i % SECRETS],
                                  wrap=context.wrap_socket, boxes=boxes))
            if i % 100 == 0:
                answers += stun_times(server, 1)
        took = time.monotonic() - start
        assert server.metric("bodkin_relay_connections") == number
        full = server.memory_kib()
        each = (full - before) / number
        print(f"{number} clients in {took:.0f} s ({number / took:.0f}/s): {full} KiB, {each:.1f} KiB each; "
              f"STUN while they came: {summary(sorted(answers))}; idle: {summary(stun_times(server, 200))}")
        assert number < count or each < MEMORY_EACH_KIB, f"{each:.0f} KiB for an idle client"
        ends = clients[0], clients[-1]
        ends[0].send(ends[1].public, b"still here")
        assert ends[1].receive() == (ends[0].public, b"still here")
        assert server.get("/healthz", tls=True)[0] == 200
        for client in clients:
            client.close()
        server.wait_for_metric("bodkin_relay_connections", 0)
        closed_memory.append(server.memory_kib())
    print(f"before {before} KiB, after closing {closed_memory[0]} KiB, again {closed_memory[1]} KiB")
    assert closed_memory[1] < closed_memory[0] * 1.1 + 20000, "memory grows from round to round"
    server.close()


run([many_idle_clients])
