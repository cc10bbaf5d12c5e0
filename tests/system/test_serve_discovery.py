#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The RFC 5780 side of `bodkin serve` from outside, on two loopback addresses, with several workers."""
import os
import socket
import struct
import subprocess

from serve import BODKIN, COOKIE, Server, run, stun_mapped, stun_request

TXID = b"abcdefghijkl"
A1, A2 = "127.0.0.1", "127.0.0.2"
CHANGE_IP, CHANGE_PORT = 4, 2
MAPPED, ORIGIN, OTHER, OTHER_PORT, ERROR = 0x0001, 0x802B, 0x802C, 0xF0B0, 0x0009


def attribute(kind, value):
    return struct.pack("!HH", kind, len(value)) + value + b"\0" * (-len(value) % 4)


def change(flags):
    return attribute(0x0003, struct.pack("!I", flags))


def response_port(port):
    return attribute(0x0027, struct.pack("!HH", port, 0))


def padding(length):
    return attribute(0x0026, b"\0" * length)


def attributes(message):
    """{type: value} of a message, checked."""
    kind, length, cookie, got = struct.unpack("!HHI12s", message[:20])
    assert kind in (0x0101, 0x0111) and cookie == COOKIE and got == TXID, message
    assert length == len(message) - 20
    found, at = {}, 20
    while at < len(message):
        kind, size = struct.unpack("!HH", message[at:at + 4])
        found.setdefault(kind, message[at + 4:at + 4 + size])
        at += 4 + (size + 3) // 4 * 4
    return found


def address(value):
    _, family, port = struct.unpack("!BBH", value[:4])
    return socket.inet_ntop(socket.AF_INET if family == 1 else socket.AF_INET6, value[4:]), port


def error(message):
    value = attributes(message)[ERROR]
    return value[2] * 100 + value[3]


def client_socket(ip=A1):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.bind((ip, 0))
    client.settimeout(10)
    return client


def ask(client, to, extra=b""):
    client.sendto(stun_request(TXID, extra), to)
    return client.recvfrom(4096)


def answers_leave_through_the_socket_that_was_asked_for():
    server = Server("--listen", A2, workers=3)
    assert 'nat_discovery ipv4=complete' in server.logged(), server.logged()
    ports = (server.stun, server.stun + 1)
    other = {A1: A2, A2: A1, ports[0]: ports[1], ports[1]: ports[0]}
    pad = attribute(0x8022, b"x" * 24)
    for _ in range(4):  # a new socket is another worker's
        client = client_socket()
        for ip in (A1, A2):
            for port in ports:
                for flags in (0, CHANGE_IP, CHANGE_PORT, CHANGE_IP | CHANGE_PORT):
                    answer, source = ask(client, (ip, port), change(flags) + pad)
                    want = (other[ip] if flags & CHANGE_IP else ip,
                            other[port] if flags & CHANGE_PORT else port)
                    assert source == want, (flags, source, want)
                    assert stun_mapped(answer) == client.getsockname()
                    found = attributes(answer)
                    assert address(found[ORIGIN]) == source
                    assert address(found[OTHER]) == (other[ip], other[port])
                    assert address(found[MAPPED]) == client.getsockname()
        client.close()
    server.wait_for_metric('bodkin_stun_requests_total{result="changed"}', 48)
    server.close()


def the_shortest_request_learns_the_other_address():
    server = Server("--listen", A2)
    client = client_socket()
    answer, _ = ask(client, (A1, server.stun))
    assert address(attributes(answer)[OTHER]) == (A2, server.stun + 1)
    assert len(answer) + 28 <= 1.6 * (20 + 28), len(answer)
    client.close()
    server.close()


def one_address_is_told_honestly():
    server = Server()
    assert "one address only: clients cannot tell address-dependent mapping" in server.logged()
    client = client_socket()
    answer, source = ask(client, (A1, server.stun), attribute(0x8022, b"x" * 24))
    found = attributes(answer)
    assert OTHER not in found and struct.unpack("!H", found[OTHER_PORT][:2])[0] == server.stun + 1
    answer, source = ask(client, (A1, server.stun), change(CHANGE_PORT))
    assert source == (A1, server.stun + 1)
    answer, source = ask(client, (A1, server.stun), change(CHANGE_IP | CHANGE_PORT))
    assert source == (A1, server.stun) and error(answer) == 420
    client.close()
    server.close()


def outside_addresses_are_told():
    server = Server("--stun-address", f"{A1}=203.0.113.1", "--stun-address", f"{A2}=203.0.113.2")
    client = client_socket()
    answer, source = ask(client, (A2, server.stun), change(CHANGE_PORT) + attribute(0x8022, b"x" * 24))
    assert source == (A2, server.stun + 1)
    assert address(attributes(answer)[ORIGIN]) == ("203.0.113.2", server.stun + 1)
    assert address(attributes(answer)[OTHER]) == ("203.0.113.1", server.stun + 1)
    client.close()
    server.close()


def response_port_serves_askers_whatever_worker_heard_them():
    server = Server("--listen", A2, workers=4)
    for _ in range(12):
        asker, other, stranger = client_socket(), client_socket(), client_socket()
        ask(asker, (A1, server.stun))
        other.sendto(stun_request(TXID, response_port(asker.getsockname()[1])), (A1, server.stun))
        answer, source = asker.recvfrom(4096)
        assert source == (A1, server.stun) and stun_mapped(answer) == other.getsockname()
        answer, source = ask(other, (A1, server.stun), response_port(stranger.getsockname()[1]))
        assert error(answer) == 403
        stranger.settimeout(0.01)
        try:
            assert False, stranger.recv(4096)
        except TimeoutError:
            pass
        for one in (asker, other, stranger):
            one.close()
    server.wait_for_metric('bodkin_stun_requests_total{result="redirected"}', 12)
    server.wait_for_metric('bodkin_stun_requests_total{result="not_asked"}', 12)
    server.close()


def padding_comes_back():
    server = Server("--listen", A2)
    client = client_socket()
    answer, _ = ask(client, (A1, server.stun), padding(1500))
    assert len(attributes(answer)[0x0026]) == 1500 and len(answer) <= 1.6 * 1524
    answer, _ = ask(client, (A1, server.stun), padding(4) + response_port(9))
    assert error(answer) == 400
    client.close()
    server.close()


def detours_have_a_rate():
    server = Server("--listen", A2, workers=2)
    clients = [client_socket("127.0.0.3") for _ in range(4)]
    refused = 0
    for i in range(4000):  # far more than the burst; on a slow machine credit comes back meanwhile
        answer, _ = ask(clients[i % 4], (A1, server.stun), change(CHANGE_PORT))
        if answer[:2] == b"\x01\x11":
            assert error(answer) == 500
            refused += 1
            if refused == 20:
                break
    assert refused > 0
    fresh = client_socket("127.0.0.4")
    assert ask(fresh, (A1, server.stun), change(CHANGE_PORT))[1] == (A1, server.stun + 1)
    for one in (*clients, fresh):
        one.close()
    server.close()


def tcp_tells_the_addresses_and_goes_no_detours():
    server = Server("--listen", A2)
    for ip in (A1, A2):
        for port in (server.stun, server.stun + 1):
            client = socket.create_connection((ip, port), timeout=10)
            client.sendall(stun_request(TXID, attribute(0x8022, b"x" * 20)))
            answer = client.recv(20 + 4 * 12, socket.MSG_WAITALL)
            found = attributes(answer)
            assert stun_mapped(answer) == client.getsockname()
            assert address(found[ORIGIN]) == (ip, port)
            assert address(found[OTHER])[0] != ip and address(found[OTHER])[1] != port
            client.sendall(stun_request(TXID, change(CHANGE_PORT)))
            assert client.recv(2) == b"\x01\x11"
            client.close()
    server.close()


def ipv6_has_one_address_here():
    if not os.path.exists("/proc/net/if_inet6"):
        print("  no IPv6 on this machine")
        return
    server = Server("--listen", "::1")
    assert "ipv6=" in server.logged()
    client = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    client.settimeout(10)
    client.sendto(stun_request(TXID, change(CHANGE_PORT)), ("::1", server.stun))
    answer, source = client.recvfrom(4096)
    assert source[:2] == ("::1", server.stun + 1)
    client.close()
    server.close()


def mistakes_are_told():
    def refused(*words):
        done = subprocess.run([BODKIN, "serve", "--stun", "0", "--https", "0", *words],
                              capture_output=True, text=True, timeout=60)
        assert len(done.stderr.splitlines()) == 1 and done.returncode != 0, done.stderr
        return done.stderr

    assert "stun-address" in refused("--stun-address", "127.0.0.1", "--stun-address", "127.0.0.1")
    assert "stun-address" in refused(*(f"--stun-address=127.0.0.{i}" for i in range(1, 4)))
    assert "no address of this machine" in refused("--stun-address", "192.0.2.77")


run([answers_leave_through_the_socket_that_was_asked_for,
     the_shortest_request_learns_the_other_address, one_address_is_told_honestly,
     outside_addresses_are_told, response_port_serves_askers_whatever_worker_heard_them, padding_comes_back, detours_have_a_rate,
     tcp_tells_the_addresses_and_goes_no_detours, ipv6_has_one_address_here, mistakes_are_told])
