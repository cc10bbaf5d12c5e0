#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""IPv6 as it is found: behind firewalls that drop what comes unasked, beside IPv4, and as the only
thing there is, with a NAT64 at the border (RFC 6146, here a translator and a masquerading NAT).

    a 192.168.1.10, 2001:db8:1::10 ─ ra ─┐
                                         ├─ core 198.51.100.1, 2001:db8::1: the home server
    b 192.168.2.10, 2001:db8:2::10 ─ rb ─┘
"""
import contextlib
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel_nat  # noqa: E402
import near  # noqa: E402

BOX = """table ip nat {
chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }
}
table inet wall {
chain in { type filter hook input priority 0; iifname "wan" meta l4proto { tcp, udp } ct state new drop; }
chain through { type filter hook forward priority 0; iifname "wan" ct state new drop; }
}
"""


def site(net, name, router, number, v4=True, v6=True):
    """A host behind a router of its own."""
    net.add(f"lan{number}", switch=True)
    net.add(name, router)
    net.plug(router, "lan", f"lan{number}", f"192.168.{number}.1/24", f"2001:db8:{number}::1/64")
    net.plug(router, "wan", "core0", f"198.51.100.{number + 1}/24", f"2001:db8::{number + 1}/64")
    mine = [f"192.168.{number}.10/24"] * v4 + [f"2001:db8:{number}::10/64"] * v6
    net.plug(name, "eth0", f"lan{number}", *mine)
    if v4:
        net.ip(name, "route", "add", "default", "via", f"192.168.{number}.1")
    if v6:
        net.ip(name, "-6", "route", "add", "default", "via", f"2001:db8:{number}::1")
    net.forwards(router)
    net.rules(router, BOX)


def core(net, v6=True):
    net.add("core0", switch=True)
    net.add("core")
    net.plug("core", "eth0", "core0", "198.51.100.1/24", *["2001:db8::1/64"] * v6)
    for number in (1, 2):
        if v6:
            net.ip("core", "-6", "route", "add", f"2001:db8:{number}::/64", "via",
                   f"2001:db8::{number + 1}")


def routes_between(net, routers):
    for one, other, number in ((routers[0], 3, 2), (routers[1], 2, 1)):
        net.ip(one, "-6", "route", "add", f"2001:db8:{number}::/64", "via", f"2001:db8::{other}")


def remote(paths):
    """The last direct path's; a busy machine may doubt it at any time."""
    direct = [p for p in paths if p["kind"] == "direct"]
    assert direct, paths
    return direct[-1]["remote"]


@contextlib.contextmanager
def names(net, *lines):
    """What the resolver answers; only the test's own processes see it."""
    hosts = os.path.join(net.folder.name, "hosts")
    with open(hosts, "w", encoding="ascii") as f:
        f.write("\n".join(["127.0.0.1 localhost", "::1 localhost", *lines, ""]))
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "/etc/hosts"], check=True)


def firewalls_are_punched():
    """No IPv4 at the hosts."""
    with near.Net() as net:
        core(net)
        site(net, "a", "ra", 1, v4=False)
        site(net, "b", "rb", 2, v4=False)
        routes_between(net, ("ra", "rb"))
        home = net.serve("core", "2001:db8::1")
        _, ticket = net.listen("b", home)
        assert remote(net.ping("a", ticket)).startswith("[2001:db8:2::10]")


def ipv6_comes_before_ipv4():
    """Both work: IPv4 through two NATs, IPv6 through two firewalls."""
    with near.Net() as net, names(net, "198.51.100.1 home.test", "2001:db8::1 home.test"):
        core(net)
        site(net, "a", "ra", 1)
        site(net, "b", "rb", 2)
        routes_between(net, ("ra", "rb"))
        home = net.serve("core", "home.test")
        _, ticket = net.listen("b", home)
        assert net.settles("a", ticket, "2001:db8:2::10]")
        net.rules("ra", "table ip6 no { chain through { type filter hook forward priority 0; "
                  "meta l4proto udp drop; }\n}\n")
        _, ticket = net.listen("b", home, user="again")
        assert net.settles("a", ticket, "198.51.100.3:")


def an_ipv6_only_host_reaches_ipv4(folder):
    """`a` has no IPv4 and `b`, as the home server, nothing else; each is behind a NAT."""
    # what a DNS64 would answer, RFC 7050
    with near.Net() as net, names(net, "64:ff9b::192.0.0.170 ipv4only.arpa"):
        core(net, v6=False)
        site(net, "a", "ra", 1, v4=False)
        site(net, "b", "rb", 2, v6=False)
        translator = subprocess.Popen(
            net.within("ra", sys.executable, os.path.join(folder, "nat64.py"), "nat64",
                       "64:ff9b::", "192.168.255.0"), stdout=subprocess.PIPE, text=True)
        net.programs.append(translator)
        if translator.stdout.readline() != "ready\n":
            print("skipped: no TUN device")
            sys.exit(77)
        net.ip("ra", "addr", "add", "192.168.255.1/24", "dev", "nat64")
        net.ip("ra", "link", "set", "nat64", "up")
        net.ip("ra", "-6", "route", "add", "64:ff9b::/96", "dev", "nat64")
        home = net.serve("core", "198.51.100.1")
        _, ticket = net.listen("b", home)
        paths = net.ping("a", ticket)
        assert remote(paths).startswith("[64:ff9b::"), paths


def a_translated_prefix_is_told_from_a_nat():
    """Linux translates prefixes one to one; RFC 6296 would mend the checksum as well."""
    with near.Net() as net:
        core(net)
        net.ip("core", "-6", "addr", "add", "2001:db8::100/64", "dev", "eth0", "nodad")
        site(net, "a", "ra", 1, v4=False)
        net.ip("core", "-6", "route", "add", "2001:db8:f::/64", "via", "2001:db8::2")
        net.rules("ra", """table ip6 prefix {
chain post { type nat hook postrouting priority 100;
oifname "wan" ip6 saddr 2001:db8:1::/64 snat ip6 prefix to 2001:db8:f::/64; }
}
""")
        net.serve("core", "2001:db8::1")
        assert found(net, "ipv6-prefix") is True
        net.rules("ra", """delete table ip6 prefix
table ip6 one { chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }
}
""")
        assert found(net, "ipv6-prefix") is False


def found(net, attribute):
    done = subprocess.run(net.within("a", near.BODKIN, "nat", "--json", "--ipv6", "--server",
                                     "[2001:db8::1]:3478"), capture_output=True, text=True,
                          timeout=60, env=net.environment("nat"))
    assert done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout)["attributes"][attribute]["value"]


def main():
    kernel_nat.need()
    firewalls_are_punched()
    print("firewalls_are_punched: ok")
    ipv6_comes_before_ipv4()
    print("ipv6_comes_before_ipv4: ok")
    a_translated_prefix_is_told_from_a_nat()
    print("a_translated_prefix_is_told_from_a_nat: ok")
    an_ipv6_only_host_reaches_ipv4(os.path.dirname(os.path.abspath(__file__)))
    print("an_ipv6_only_host_reaches_ipv4: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
