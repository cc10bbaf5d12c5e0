#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the server tells of TURN: numbers of live sessions, and refusals with address and rule."""
import json
import os
import re
import socket
import ssl
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
from serve import BODKIN, Server, run
from turn import Client, Refused, udp_peer


def sanitized():
    with open(BODKIN, "rb") as program:
        code = program.read()
    return b"__asan_init" in code or b"__tsan_init" in code


def client(server, password="sesame"):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", server.stun))
    return Client(sock, "alice", password)


def live_sessions_are_counted():
    peer = udp_peer()
    server = Server("--turn-user", "alice:sesame", "--allow-peer", "127.0.0.0/8", "--turns", "0",
                    "--relay-ports", "20000-29999")
    one = client(server)
    one.allocate()
    one.bind(0x4000, peer.getsockname())
    one.send_channel(0x4000, b"12345")
    data, relay = peer.recvfrom(100)
    peer.sendto(data + b"678", relay)
    assert one.data() == (0x4000, b"12345678")
    server.wait_for_metric("bodkin_turn_allocations", 1)
    server.wait_for_metric("bodkin_turn_channels", 1)
    server.wait_for_metric('bodkin_turn_bytes_total{direction="to_peer"}', 5)
    server.wait_for_metric('bodkin_turn_bytes_total{direction="to_client"}', 8)
    server.wait_for_metric('bodkin_turn_events_total{event="allocated"}', 1)
    mine = '{realm="bodkin",user="alice"}'
    server.wait_for_metric("bodkin_turn_user_bytes" + mine, 13)
    server.wait_for_metric("bodkin_turn_user_allocations" + mine, 1)
    server.wait_for_metric('bodkin_turn_realm_allocations{realm="bodkin"}', 1)
    server.wait_for_metric('bodkin_turn_latency_seconds_count{kind="data"}', 1)
    for kind in ("data", "request"):
        count = server.metric(f'bodkin_turn_latency_seconds_count{{kind="{kind}"}}')
        assert server.metric(f'bodkin_turn_latency_seconds_bucket{{kind="{kind}",le="+Inf"}}') == count
    text = server.get("/metrics")[1]
    assert text.endswith("\n") and len(text) < 40000, len(text)
    one.refresh(0)
    server.wait_for_metric("bodkin_turn_allocations", 0)
    until = time.monotonic() + 10
    while 'user="alice"' in server.get("/metrics")[1]:  # who has gone is not among them
        assert time.monotonic() < until
        time.sleep(0.05)
    server.close()


def refusals_are_logged_with_address_and_rule():
    server = Server("--turn-user", "alice:sesame", "--turns", "0",
                    "--relay-ports", "20000-29999")
    wrong = client(server, "simsim")
    try:
        wrong.allocate()
        raise AssertionError("granted")
    except Refused as refused:
        assert refused.code == 401
    right = client(server)
    right.allocate()
    try:
        right.permit("10.1.2.3")
        raise AssertionError("granted")
    except Refused as refused:
        assert refused.code == 403
    for one, code in ((wrong, 401), (right, 403)):
        port = one.sock.getsockname()[1]
        pattern = rf" warn turn_refused remote=127\.0\.0\.1:{port} rule=.* code={code}.* user=alice"
        until = time.monotonic() + 10
        while not re.search(pattern, server.logged()):
            assert time.monotonic() < until, (pattern, server.logged())
            time.sleep(0.05)
    assert "peer=10.1.2.3" in server.logged()
    assert "sesame" not in server.logged() and "simsim" not in server.logged()
    server.close()


def ready_says_what_there_is():
    server = Server("--turn-user", "alice:sesame", "--turns", "0", "--relay-ports", "20000-29999",
                    "--no-mobility", "--fastpath", "off", "--turn-secret", "x" * 16)
    server.wait_for_log(" info ready_turn realm=bodkin users=1 secrets=1")
    server.wait_for_log(" info ready_relays ipv4=127.0.0.1 ipv6=\"none: ")
    assert " ports=20000-29999 allocations=16000 peers=global" in server.logged()
    server.wait_for_log(" info ready_tier io=")
    assert 'fastpath_off="--fastpath off"' in server.logged()
    server.wait_for_log(' info ready_off turns="--turns 0" mobility=--no-mobility hidden_names=')
    server.close()
    server = Server("--log-json")
    server.wait_for_log('"event":"ready_turn"')
    lines = [json.loads(line) for line in server.logged().splitlines()]
    off = next(line for line in lines if line["event"] == "ready_turn")
    assert "--turn-user" in off["off"], off
    server.close()


def memory_of_many_who_left_is_given_back():
    server = Server("--log-level", "debug", "--per-address-max", "0")
    before = server.memory_kib()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    plain = [socket.create_connection(("127.0.0.1", server.stun)) for _ in range(250)]
    clients = [context.wrap_socket(one) for one in plain]
    server.wait_for_metric("bodkin_connections", 251)  # and who asks
    full = server.memory_kib()
    for one in clients:
        one.close()
    server.wait_for_log("debug memory_returned left=2", 60)
    if not sanitized():  # its heap is another
        left = server.memory_kib() - before
        assert left < max(1500, (full - before) / 2), (before, full, left)
    server.close()


def metrics_are_not_for_everybody():
    server = Server("--metrics-from", "10.0.0.0/8")
    assert server.get("/metrics")[0] == 403
    assert server.get("/healthz")[0] == 200
    server.close()
    server = Server("--metrics-from", "127.0.0.0/8")
    assert server.get("/metrics")[0] == 200
    server.close()


run([live_sessions_are_counted, refusals_are_logged_with_address_and_rule,
     ready_says_what_there_is, memory_of_many_who_left_is_given_back, metrics_are_not_for_everybody])
