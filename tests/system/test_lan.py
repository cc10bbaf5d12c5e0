#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Two peers on one network find each other without telling anybody else where they are.

    a 192.168.7.10 ─┐
                    ├─ lan (switch) ─ router 192.168.7.1, NAT ─ core 198.51.100.1: the home server
    b 192.168.7.11 ─┘
"""
import os
import socket
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel_nat  # noqa: E402
import near  # noqa: E402

A, B = "192.168.7.10", "192.168.7.11"
NAT = """table ip nat {
chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }
}
table ip keep {
chain in { type filter hook input priority 0; iifname "wan" ct state new drop; }
chain through { type filter hook forward priority 0; iifname "wan" ct state new drop; }
}
"""
# Full cone, from inside as well: the UDP port that somebody inside uses is led back to it.
HAIRPIN = """flush ruleset
table ip nat {
map seen { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout 60s; }
chain record { type filter hook postrouting priority 300;
meta l4proto udp ip saddr 198.51.100.2 update @seen { udp sport : ct original ip saddr . ct original proto-src }; }
chain pre { type nat hook prerouting priority -100;
ip daddr 198.51.100.2 meta l4proto udp dnat ip to udp dport map @seen; }
chain post { type nat hook postrouting priority 100; oifname "wan" masquerade;
ct status dnat oifname { "lan", "lan2" } snat to 198.51.100.2; }
}
"""
WALL = """table inet wall {
chain in { type filter hook input priority 0; iifname "eth0" ct state new drop; }
}
"""
# Prints every packet that reaches this host, in hexadecimal, until its standard input ends.
SNIFF = """
import select, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
print("ready", flush=True)
while not select.select([sys.stdin, s], [], [])[0].count(sys.stdin):
    print(s.recv(65535)[14:].hex())
"""


def build(net):
    net.add("lan", "wan", switch=True)
    net.add("a", "b", "r", "core")
    net.plug("a", "eth0", "lan", A + "/24")
    net.plug("b", "eth0", "lan", B + "/24")
    net.plug("r", "lan", "lan", "192.168.7.1/24")
    net.plug("r", "wan", "wan", "198.51.100.2/24")
    net.plug("core", "eth0", "wan", "198.51.100.1/24")
    for name in "ab":
        net.ip(name, "route", "add", "default", "via", "192.168.7.1")
    net.forwards("r")
    net.rules("r", NAT)


def remotes(paths):
    return [p["remote"].rsplit(":", 1)[0].strip("[]") for p in paths if p["kind"] == "direct"]


def private_peers_meet_on_the_link(net, home):
    sniffer = subprocess.Popen(net.within("core", sys.executable, "-c", SNIFF), text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert sniffer.stdout.readline() == "ready\n"
    b, ticket = net.listen("b", home, "--private")
    # IPv4, or the link-local addresses that every IPv6 host has
    assert net.settles("a", ticket, (B, "fe80::"), "--private")
    b.terminate()
    b.wait(10)
    seen = sniffer.communicate()[0].split()
    assert len(seen) > 20, "the server's side of the network was not seen"
    for address in (A, B):
        told = [p for p in seen if socket.inet_aton(address).hex() in p]
        assert not told, f"{address} left the network: {told[0]}"


def without_beacons_a_private_peer_stays_hidden(net, home):
    b, ticket = net.listen("b", home, "--private", "--no-beacons", user="hidden")
    paths = net.ping("a", ticket, "--private", count=8)
    assert not remotes(paths), paths
    b.terminate()
    b.wait(10)


def one_firewall_does_not_matter(net, home):
    """What comes in unasked is dropped by one side: it calls, the other hears, and tells it back
    through the session itself."""
    net.rules("a", WALL)
    b, ticket = net.listen("b", home, "--private", user="open")
    paths = net.ping("a", ticket, "--private")
    assert remotes(paths), paths
    b.terminate()
    b.wait(10)
    net.rules("a", "delete table inet wall")


def other_subnets_behind_one_router_need_no_hairpin(net, home):
    """The router would also lead packets to its outside address back in; straight on is better."""
    net.add("lan2", switch=True)
    net.add("c")
    net.plug("r", "lan2", "lan2", "192.168.8.1/24")
    net.plug("c", "eth0", "lan2", "192.168.8.10/24")
    net.ip("c", "route", "add", "default", "via", "192.168.8.1")
    net.rules("r", HAIRPIN)
    c, ticket = net.listen("c", home, user="c")
    assert net.settles("a", ticket, "192.168.8.10")
    net.rules("r", """table ip apart { chain through { type filter hook forward priority 0;
iifname { "lan", "lan2" } oifname { "lan", "lan2" } ct status & dnat == 0 drop; }
}
""")
    c.terminate()
    c, ticket = net.listen("c", home, user="c2")
    assert net.settles("a", ticket, "198.51.100.2")  # it would have worked
    c.terminate()
    c.wait(10)


def main():
    kernel_nat.need()
    with near.Net() as net:
        build(net)
        home = net.serve("core", "198.51.100.1")
        for test in (private_peers_meet_on_the_link, without_beacons_a_private_peer_stays_hidden,
                     one_firewall_does_not_matter,
                     other_subnets_behind_one_router_need_no_hairpin):
            test(net, home)
            print(f"{test.__name__}: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
