#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin serve` on the wildcard address of a host with several addresses (in a namespace of its
own): answers leave from the address that was asked, or from the other one, over IPv4 and IPv6, from
one dual-stack socket per port."""
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

import kernel_nat
from serve import BODKIN, run, stun_request

V4 = ("203.0.113.1", "203.0.113.2")
V6 = ("2001:db8::1", "2001:db8::2")
PORTS = (3478, 3479)
CHANGE_IP, CHANGE_PORT = 4, 2


def isolate():
    for tool in ("ip", "unshare"):
        if shutil.which(tool) is None and not os.path.exists(f"/usr/sbin/{tool}"):
            print(f"skipped: no {tool}")
            sys.exit(77)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    flags = "-nm" if os.geteuid() == 0 else "-rnm"
    if subprocess.run(["unshare", flags, "true"], capture_output=True).returncode != 0:
        print("skipped: no namespaces for this user")
        sys.exit(77)
    kernel_nat.isolate()
    lines = ["link set lo up", "link add d0 type veth peer name d1", "link set d0 up",
             "link set d1 up"]
    lines += [f"address add {ip}/24 dev d0" for ip in V4]
    lines += [f"address add {ip}/64 dev d0 nodad" for ip in V6]
    for line in lines:
        if subprocess.run(["ip", *line.split()], capture_output=True).returncode != 0:
            print(f"skipped: not possible here: ip {line}")
            sys.exit(77)


class Wildcard:
    def __init__(self, *options):
        self.dir = tempfile.mkdtemp(prefix="bodkin-test-")
        self.log = os.path.join(self.dir, "log")
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([BODKIN, "serve", "--https", "8443", "--workers", "3", "--name",
                                             "h", "--state", self.dir, *options], stdout=log, stderr=log)
        until = time.monotonic() + 30
        while "home: " not in self.logged():
            assert time.monotonic() < until and self.process.poll() is None, self.logged()
            time.sleep(0.05)

    def logged(self):
        with open(self.log) as log:
            return log.read()

    def told(self, family):
        return re.search(rf'{family}=("[^"]*"|\S+)', self.logged())[1].strip('"')

    def close(self):
        self.process.terminate()
        assert self.process.wait(30) == 0, self.logged()
        shutil.rmtree(self.dir)


def ask(family, to, flags):
    client = socket.socket(family, socket.SOCK_DGRAM)
    client.settimeout(10)
    client.sendto(stun_request(attributes=struct.pack("!HHI", 0x0003, 4, flags)), to)
    answer, source = client.recvfrom(2048)
    client.close()
    return answer, source[:2]


def every_way(family, ips):
    other = {ips[0]: ips[1], ips[1]: ips[0], PORTS[0]: PORTS[1], PORTS[1]: PORTS[0]}
    for ip in ips:
        for port in PORTS:
            for flags in (0, CHANGE_IP, CHANGE_PORT, CHANGE_IP | CHANGE_PORT):
                answer, source = ask(family, (ip, port), flags)
                assert answer[:2] == b"\x01\x01", answer
                want = (other[ip] if flags & CHANGE_IP else ip, other[port] if flags & CHANGE_PORT else port)
                assert source == want, (flags, source, want)


def a_host_with_two_addresses_needs_no_option():
    server = Wildcard()
    assert server.told("ipv4") == "complete", server.logged()
    assert server.told("ipv6").startswith("one address only"), server.logged()
    every_way(socket.AF_INET, V4)
    answer, source = ask(socket.AF_INET6, (V6[1], PORTS[0]), CHANGE_PORT)
    assert source == (V6[1], PORTS[1])
    answer, source = ask(socket.AF_INET6, (V6[1], PORTS[0]), CHANGE_IP)
    assert source == (V6[1], PORTS[0]) and answer[:2] == b"\x01\x11"
    server.close()


def ipv6_addresses_are_named():
    server = Wildcard("--stun-address", V6[0], "--stun-address", V6[1])
    assert (server.told("ipv4"), server.told("ipv6")) == ("complete", "complete"), server.logged()
    every_way(socket.AF_INET, V4)
    every_way(socket.AF_INET6, V6)
    server.close()


def a_listener_on_one_address_gets_the_other_for_stun():
    server = Wildcard("--listen", V4[0], "--stun-address", V4[0], "--stun-address", V4[1])
    assert server.told("ipv4") == "complete"
    every_way(socket.AF_INET, V4)
    server.close()


def one_address_can_be_enough():
    server = Wildcard("--stun-address", V4[1])
    assert server.told("ipv4").startswith("one address only"), server.logged()
    answer, source = ask(socket.AF_INET, (V4[1], PORTS[0]), CHANGE_IP)
    assert answer[:2] == b"\x01\x11" and source == (V4[1], PORTS[0])
    server.close()


def a_taken_second_port_is_said():
    taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    taken.bind((V4[1], PORTS[1]))
    server = Wildcard("--listen", V4[0], "--listen", V4[1])
    assert server.told("ipv4").startswith("one port only"), server.logged()
    answer, source = ask(socket.AF_INET, (V4[0], PORTS[0]), CHANGE_PORT)
    assert answer[:2] == b"\x01\x11" and source == (V4[0], PORTS[0])
    server.close()
    taken.close()


isolate()
run([a_host_with_two_addresses_needs_no_option, ipv6_addresses_are_named,
     a_listener_on_one_address_gets_the_other_for_stun, one_address_can_be_enough,
     a_taken_second_port_is_said])
