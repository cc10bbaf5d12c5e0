#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Real Linux NATs of every kind that nftables can build, in namespaces: what the model, the lab and
the classifier are measured against.

    in1 192.168.1.2 ─┐                                       ┌─ server  198.51.100.1, 198.51.100.2
                     ├─ box 203.0.113.1 ─ [cgn] ─ core ──────┤
    in2 192.168.5.2 ─┘                                       └─ outside 198.51.100.129

With a second NAT the box has 100.64.0.2 and `cgn` has 203.0.113.1. In a test:

    import kernel_nat
    kernel_nat.need()                       # exits with 77 and a line when this cannot work here
    with kernel_nat.Scene("symblk") as scene:
        server = scene.popen("server", ["bodkin", "serve", ...])
        done = scene.run("in1", ["bodkin", "nat", ...], capture_output=True)
        scene.traits["mapping"]             # what a classifier must find: "APD"

By hand: `kernel_nat.py list`, `kernel_nat.py KIND up`, `kernel_nat.py KIND down`; `up` prints how to
enter the namespaces. Names carry the process id (by hand: the kind), so that scenes do not meet.
Needs root (or `kernel_nat.isolate()` first, which takes namespaces of its own), ip and nft.
"""
import os
import shutil
import subprocess
import sys

IN = {"in1": "192.168.1.2", "in2": "192.168.5.2"}
SERVER = ["198.51.100.1", "198.51.100.2"]
OUTSIDE = "198.51.100.129"
PUBLIC = "203.0.113.1"
POOL = ["203.0.113.1", "203.0.113.2", "203.0.113.3", "203.0.113.4"]
SHARED = "100.64.0.2"  # the home's outside address behind a cgn, RFC 6598


# ---- one box: what goes into its nft tables. `x` is its outside address -------------------------
def _table(x, post="", pre="", more="", forward="", answer="drop", leaky=False):
    """`post` gets packets that leave by "out" in postrouting, `pre` all in prerouting. `answer`:
    what a packet to the box itself from outside meets. `leaky`: without the rule against packets
    that fit no connection, which Linux forwards as they are, private source address and all."""
    refusal = {
        "drop": 'iifname "out" drop',
        "reject": 'iifname "out" meta l4proto tcp reject with tcp reset\n'
                  'iifname "out" meta l4proto udp reject\niifname "out" drop',
        "accept": "",
    }[answer]
    return f"""table ip bodkin {{
{more}
chain input {{ type filter hook input priority 0
{refusal}
}}
chain forward {{ type filter hook forward priority 0
{"" if leaky else "ct state invalid drop"}
{forward}
}}
chain pre {{ type nat hook prerouting priority -100
{pre}
}}
chain post {{ type nat hook postrouting priority 100
{post}
}}
}}
"""


def _masquerade(flags="", **how):
    return lambda x: _table(x, post=f'oifname "out" masquerade {flags}', **how)


def _block(to):
    return lambda x: _table(x, post=f'oifname "out" meta l4proto {{ tcp, udp }} masquerade to {to}\n'
                            'oifname "out" masquerade')


def _snat(to):
    return lambda x: _table(x, post=f'oifname "out" snat to {to(x)}')


def _choose(expression, first, count):
    """An outside port from a number of nft: these are in host order, so each is named."""
    pairs = ", ".join(f"{i} : {first + i}" for i in range(count))
    return lambda x: _table(
        x, post=f'oifname "out" meta l4proto {{ tcp, udp }} snat to {x} : '
        f"{expression.format(count)} map {{ {pairs} }}\noifname \"out\" masquerade")


# Ports with a rule of their own in "fixed": those of nat_scripts/.
_FIXED = [200, 300, 600, 700, 1024, *range(5000, 5010), 5100, 5101, 41000, 41001, 41002, 41003, 41010,
          42000, 42001, 43000, 43001, 43002, 43003, 45000, 45100, 65535]


def _fixed(answer="drop"):
    """A port of the inside is the same outside, or none: a clash drops the packet."""
    pairs = ", ".join(f"{p} : {p}" for p in _FIXED)
    return lambda x: _table(
        x, answer=answer, post=f'oifname "out" meta l4proto {{ tcp, udp }} snat to {x} : th sport '
        f'map {{ {pairs} }}\noifname "out" masquerade')


def _cone(filtering="EI", hairpin="none"):
    """Every mapping is recorded as it leaves, after translation, and serves packets from outside.
    Recording before it would name the wrong port whenever two hosts clash."""
    def rules(x):
        more = record = pre = ""
        for p in ("udp", "tcp"):
            more += f"""map {p}_in {{ type inet_service : ipv4_addr . inet_service
flags dynamic,timeout; timeout 300s; }}
set {p}_met {{ type ipv4_addr . inet_service; flags dynamic,timeout; timeout 300s; }}
"""
            record += f"""oifname "out" ct direction original meta l4proto {p} update @{p}_in {{ \
{p} sport timeout 300s : ct original ip saddr . ct original proto-src }}
oifname "out" meta l4proto {p} update @{p}_met {{ ip daddr . {p} sport }}
"""
            known = f"ip saddr . {p} dport @{p}_met " if filtering == "AD" else ""
            pre += f'iifname "out" ip daddr {x} {known}dnat ip to {p} dport map @{p}_in\n'
            if hairpin != "none":
                pre += f'iifname "in*" ip daddr {x} dnat ip to {p} dport map @{p}_in\n'
        more += f"chain record {{ type filter hook postrouting priority 110\n{record}}}\n"
        post = 'oifname "out" masquerade'
        if hairpin == "external":
            post += f'\noifname "in*" ct status dnat ip saddr 192.168.0.0/16 snat to {x}'
            post += f'\noifname "in*" ct status dnat ip saddr 100.64.0.0/10 snat to {x}'
        return _table(x, post=post, pre=pre, more=more)
    return rules


def _no_nat(forward=""):
    return lambda x: _table(x, forward=forward, answer="accept", leaky=True)


_STATEFUL = 'iifname "out" ct state != { established, related } drop'

BOXES = {
    "none": _no_nat(),
    "fw": _no_nat(_STATEFUL),
    "prc": _masquerade(),
    "prc+accept": _masquerade(answer="accept"),
    "prc+reject": _masquerade(answer="reject"),
    "prc+leaky": _masquerade(leaky=True),
    "snatp": _snat(lambda x: f"{x} persistent"),
    "snat": _snat(lambda x: x),
    "snat+accept": lambda x: _table(x, post=f'oifname "out" snat to {x}', answer="accept"),
    "fixed": _fixed(),
    "fixed+accept": _fixed("accept"),
    "pool": _snat(lambda x: f"{POOL[0]}-{POOL[-1]}"),
    "poolp": _snat(lambda x: f"{POOL[0]}-{POOL[-1]} persistent"),
    "rnd": _masquerade("random"),
    "sym": _masquerade("fully-random"),
    "symblk": _block(":20000-20063 fully-random"),
    "block": _block(":20480-21503"),
    "eimr": _choose("jhash ip saddr . th sport mod {} seed 0x62646b6e", 40000, 1024),
    "admr": _choose("jhash ip saddr . th sport . ip daddr mod {} seed 0x62646b6e", 40000, 1024),
    "seq": _choose("numgen inc mod {}", 40000, 512),
    "arc": _cone("AD"),
    "fullcone": _cone("EI"),
    "fullcone+hp": _cone("EI", "external"),
    "fullcone+hpint": _cone("EI", "internal"),
    "dnat1": lambda x: _table(x, post='oifname "out" masquerade',
                              pre=f'iifname "out" ip daddr {x} dnat to {IN["in1"]}'),
    "noudp": _masquerade(forward="meta l4proto udp drop"),
    "webonly": _masquerade(forward='meta l4proto udp drop\n'
                           'iifname "in*" tcp dport != { 80, 443 } drop'),
}


# ---- kinds of scenes: the box, a second box in front of it, and what is to be found ------------
def _traits(**changes):
    traits = {
        "translated": True, "udp_blocked": False, "mapping": "EI", "filtering": "APD",
        "ports": "preserve",  # preserve, random, sequential, hashed (by the inside endpoint)
        "step": 0, "port_min": 1024, "port_max": 65535,
        "paired": True, "addresses": 1,  # False: a host appears with several addresses
        "hairpin": "none",  # none, external, internal
        "unsolicited": "drop",  # drop, reject, host: the inside host answers for itself
        "inbound_first": False,  # an early packet from outside spoils the mapping
        "tcp_mapping": None,  # as `mapping`
        "nats": 1,
    }
    traits.update(changes)
    if traits["tcp_mapping"] is None:
        traits["tcp_mapping"] = traits["mapping"]
    return traits


_RANDOM = {"mapping": "APD", "ports": "random"}
_CGN = {"ports": "random", "port_min": 20480, "port_max": 21503}

KINDS = {
    "none": ("none", None, _traits(translated=False, filtering="EI", unsolicited="host", nats=0,
                                   hairpin="none")),
    "fw": ("fw", None, _traits(translated=False, nats=0)),
    "prc": ("prc", None, _traits()),
    "prc+accept": ("prc+accept", None, _traits(unsolicited="reject", inbound_first=True)),
    "prc+reject": ("prc+reject", None, _traits(unsolicited="reject")),
    "prc+leaky": ("prc+leaky", None, _traits()),
    "snat": ("snat", None, _traits()),
    "snatp": ("snatp", None, _traits()),
    "snat+accept": ("snat+accept", None, _traits(unsolicited="reject", inbound_first=True)),
    "fixed": ("fixed", None, _traits()),
    "fixed+accept": ("fixed+accept", None, _traits(unsolicited="reject", inbound_first=True)),
    "pool": ("pool", None, _traits(paired=False, addresses=4)),
    "poolp": ("poolp", None, _traits(addresses=4)),
    "rnd": ("rnd", None, _traits(**_RANDOM)),
    "sym": ("sym", None, _traits(**_RANDOM)),
    "symblk": ("symblk", None, _traits(mapping="APD", ports="random", port_min=20000,
                                       port_max=20063)),
    "block": ("block", None, _traits(**_CGN)),
    "eimr": ("eimr", None, _traits(ports="hashed", port_min=40000, port_max=41023)),
    "admr": ("admr", None, _traits(mapping="AD", ports="hashed", port_min=40000, port_max=41023)),
    "seq": ("seq", None, _traits(mapping="APD", ports="sequential", step=1, port_min=40000,
                                 port_max=40511)),
    "arc": ("arc", None, _traits(filtering="AD")),
    "fullcone": ("fullcone", None, _traits(filtering="EI")),
    "fullcone+hp": ("fullcone+hp", None, _traits(filtering="EI", hairpin="external")),
    "fullcone+hpint": ("fullcone+hpint", None, _traits(filtering="EI", hairpin="internal")),
    "dnat1": ("dnat1", None, _traits(filtering="EI", unsolicited="host")),
    "noudp": ("noudp", None, _traits(udp_blocked=True)),
    "webonly": ("webonly", None, _traits(udp_blocked=True)),
    "cgn": ("prc", "block", _traits(**_CGN, nats=2)),
    "cgnsym": ("prc", "sym", _traits(**_RANDOM, nats=2)),
    "symcgn": ("sym", "block", _traits(mapping="APD", ports="random", port_min=20480,
                                       port_max=21503, nats=2)),
    "cgneif": ("prc", "fullcone+hp", _traits(nats=2, hairpin="external")),  # once both have sent
    "eifcgn": ("fullcone", "prc", _traits(nats=2)),
}


# ---- plumbing ------------------------------------------------------------------------------------
class Unable(Exception):
    """This machine does not let us build the scene."""


def do(argv, text=""):
    done = subprocess.run(argv, input=text, text=True, capture_output=True)
    if done.returncode != 0:
        raise Unable(f"{' '.join(argv)}: {done.stderr.strip()[:200]}")


def isolate():
    """Restarts the calling script in mount, network (and without root: user) namespaces of its own,
    where it may make scenes; they all vanish with it. No-op the second time."""
    if os.environ.get("KERNEL_NAT_ISOLATED"):
        return
    os.environ["KERNEL_NAT_ISOLATED"] = "1"
    flags = "-nm" if os.geteuid() == 0 else "-rnm"
    inner = 'mount -t tmpfs tmpfs /run && exec "$@"'
    os.execvp("unshare", ["unshare", flags, "sh", "-c", inner, "sh", sys.executable, *sys.argv])


def need(isolated=True):
    """Call first in a test: skips it (status 77) where scenes are impossible."""
    for tool in ("ip", "nft", "unshare"):
        if shutil.which(tool) is None and not os.path.exists(f"/usr/sbin/{tool}"):
            print(f"skipped: no {tool}")
            sys.exit(77)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    if isolated:
        flags = "-nm" if os.geteuid() == 0 else "-rnm"
        if subprocess.run(["unshare", flags, "true"], capture_output=True).returncode != 0:
            print("skipped: no namespaces for this user")
            sys.exit(77)
        isolate()
    try:
        with Scene("prc", tag=f"bkp{os.getpid()}"):
            pass
    except Unable as e:
        print(f"skipped: {e}")
        sys.exit(77)


def configure_box(ns, box, x, udp_timeout=30, udp_stream=120, icmp_timeout=30, syn_timeout=120):
    """Makes the namespace `ns`, which has links "in1" (, "in2") and "out", a NAT of kind `box`."""
    sysctls = {
        "net/ipv4/ip_forward": 1,
        "net/ipv4/icmp_ratelimit": 0,  # every refusal is to be seen
        "net/ipv4/icmp_msgs_per_sec": 100000,
        "net/ipv4/icmp_msgs_burst": 10000,
        "net/netfilter/nf_conntrack_udp_timeout": udp_timeout,
        "net/netfilter/nf_conntrack_udp_timeout_stream": udp_stream,
        "net/netfilter/nf_conntrack_icmp_timeout": icmp_timeout,
        "net/netfilter/nf_conntrack_tcp_timeout_syn_sent": syn_timeout,
    }
    do(["ip", "netns", "exec", ns, "nft", "-f", "-"], BOXES[box](x))
    _sysctl(ns, sysctls)


def _sysctl(ns, values):
    lines = "".join(f"[ ! -e /proc/sys/{k} ] || echo {v} >/proc/sys/{k} || exit 1\n"
                    for k, v in values.items())
    do(["ip", "netns", "exec", ns, "sh"], lines)


class Scene:
    """Namespaces around one kind of NAT; a context manager. `tag` starts their names."""
    HOSTS = ("in1", "in2", "server", "outside")

    def __init__(self, kind, tag=None, udp_timeout=30, udp_stream=120):
        if kind not in KINDS:
            raise KeyError(f"no such kind: {kind}")
        self.kind = kind
        self.inner, self.outer, self.traits = KINDS[kind]
        self.tag = tag or f"bk{os.getpid()}"
        self.timeouts = {"udp_timeout": udp_timeout, "udp_stream": udp_stream}
        self.made = []
        self.programs = []

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    def ns(self, name):
        return f"{self.tag}-{name}"

    def _ip(self, name, lines):
        do(["ip", "-n", self.ns(name), "-b", "-"], lines)

    def _make(self, name):
        do(["ip", "netns", "add", self.ns(name)])
        self.made.append(name)
        self._ip(name, "link set lo up\n")

    def _link(self, router, link, ip, host, host_link, host_ip, default=True):
        """`router` gets the link `link` with address `ip`, `host` the other end."""
        self._ip(router, f"link add {link} type veth peer name {host_link} netns {self.ns(host)}\n"
                 f"address add {ip} dev {link}\nlink set {link} up\n")
        gateway = ip.split("/")[0]
        self._ip(host, f"address add {host_ip} dev {host_link}\nlink set {host_link} up\n" +
                 (f"route add default via {gateway}\n" if default else ""))

    def up(self):
        self.down_leftovers()
        for name in ("core", "server", "outside", "box", "in1", "in2"):
            self._make(name)
        self._link("core", "srv", "198.51.100.126/25", "server", "eth0", SERVER[0] + "/25")
        self._ip("server", f"address add {SERVER[1]}/25 dev eth0\n")
        self._link("core", "ext", "198.51.100.254/25", "outside", "eth0", OUTSIDE + "/25")
        outermost = "box"
        if self.outer is not None:
            self._make("cgn")
            outermost = "cgn"
        self._link("core", "nat", "203.0.113.254/24", outermost, "out", PUBLIC + "/24")
        self._ip(outermost, "".join(f"address add {a}/24 dev out\n" for a in POOL[1:]))
        if self.outer is not None:
            self._link("cgn", "in1", "100.64.0.1/24", "box", "out", SHARED + "/24")
        for name, ip in IN.items():
            self._link("box", name, ip.rsplit(".", 1)[0] + ".1/24", name, "eth0", ip + "/24")
        _sysctl(self.ns("core"), {"net/ipv4/ip_forward": 1})
        if not self.traits["translated"]:
            self._ip("core", "route add 192.168.0.0/16 via 203.0.113.1\n")
        self._configure()

    def _configure(self):
        double = self.outer is not None
        configure_box(self.ns("box"), self.inner, SHARED if double else PUBLIC, **self.timeouts)
        if double:
            configure_box(self.ns("cgn"), self.outer, PUBLIC, **self.timeouts)
        for host in ("server", "outside", "in1", "in2"):
            _sysctl(self.ns(host), {"net/ipv4/icmp_ratelimit": 0})

    def down(self):
        for p in self.programs:
            if p.poll() is None:
                p.kill()
            p.wait()
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True)
        self.programs, self.made = [], []

    def down_leftovers(self):
        """What an earlier scene of this name left behind, if it was killed."""
        for name in ("in1", "in2", "box", "cgn", "core", "server", "outside"):
            if os.path.exists(f"/run/netns/{self.ns(name)}"):
                subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True)

    def command(self, host, argv):
        return ["ip", "netns", "exec", self.ns(host), *argv]

    def run(self, host, argv, **how):
        """subprocess.run() in a host: in1, in2, server or outside (or box, cgn, core)."""
        return subprocess.run(self.command(host, argv), **how)

    def popen(self, host, argv, **how):
        """subprocess.Popen() in a host; killed at the end of the scene."""
        p = subprocess.Popen(self.command(host, argv), **how)
        self.programs.append(p)
        return p


def _main(argv):
    if argv == ["list"]:
        for kind, (inner, outer, t) in KINDS.items():
            boxes = inner if outer is None else f"{inner} behind {outer}"
            print(f"{kind:15} {boxes:22} {t['mapping']:3} {t['filtering']:3} {t['ports']}")
        return 0
    if len(argv) != 2 or argv[0] not in KINDS or argv[1] not in ("up", "down"):
        print("usage: kernel_nat.py list | KIND up | KIND down", file=sys.stderr)
        return 2
    scene = Scene(argv[0], tag="bk-" + argv[0])
    if argv[1] == "down":
        scene.down_leftovers()
        return 0
    scene.up()
    for host in (*scene.made,):
        print(f"ip netns exec {scene.ns(host)} ...")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
