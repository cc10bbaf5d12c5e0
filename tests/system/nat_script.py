# SPDX-License-Identifier: MIT
"""Packet scripts for NATs: one text, several boxes to run it through, and a record of what each did
in which everything that must agree is equal and nothing else is shown.

A box is a pair of hands: inject(host, packet) and collect() -> [(host, packet)], wait(seconds).
Here are the packets and the script; tests/system/nat_boxes.py has the boxes.

    udp in1:41000 > A:1000 as m     in1 sends; `m` is the outside endpoint that A sees from now on
    udp A:1000 > m                  A sends to it
    udp A:1000 > X:39999            and to a port of the box that nobody has
    tcp in1:5000 > A:80 SYN as t    flags by name, joined by +
    echo in1:77 > A as e            ICMP echo request with that identifier
    reply A > e                     and its reply
    error A port > m                A refuses, by ICMP, the last packet that came from m (also: host,
                                    ttl, big, and `error in1 port > A:1000` from inside)
    udp in1:41000 > A:1000 size=3000 order=1,0   the same in fragments, sent in this order
    wait 3                          seconds
    # comment
Hosts: in1 and in2 inside; A and B (two addresses of one machine, if you like) and C outside; X is
the box. A fragment is shown when its packet is whole.
"""
import re
import struct

IPS = {
    "in1": "192.168.1.2", "in2": "192.168.5.2",
    "A": "198.51.100.1", "B": "198.51.100.2", "C": "198.51.100.129", "X": "203.0.113.1",
}
BOX = ("192.168.1.1", "192.168.5.1", "100.64.0.1", "100.64.0.2")  # its other addresses
NAMES = {ip: name for name, ip in IPS.items()}
INSIDE = ("in1", "in2")
UDP, TCP, ICMP = 17, 6, 1
KINDS = {UDP: "udp", TCP: "tcp", ICMP: "echo"}
FLAGS = {"FIN": 1, "SYN": 2, "RST": 4, "PSH": 8, "ACK": 16}
UNREACHABLE = {"port": (3, 3), "host": (3, 1), "admin": (3, 13), "big": (3, 4), "ttl": (11, 0)}


# ---- packets -------------------------------------------------------------------------------------
def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def ip_bytes(text):
    return bytes(int(x) for x in text.split("."))


def ip_text(data):
    return ".".join(str(x) for x in data)


def ip4(src, dst, proto, payload, ident=0, offset=0, more=False, ttl=60):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident,
                       (0x2000 if more else 0) | offset // 8, ttl, proto, 0,
                       ip_bytes(src), ip_bytes(dst))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def transport(proto, src, dst, head, at, data):
    """Fills in the checksum, which is at `at`, of `head` and `data`."""
    segment = head + data
    pseudo = ip_bytes(src) + ip_bytes(dst) + struct.pack("!BBH", 0, proto, len(segment))
    sum_ = checksum(pseudo + segment)
    if proto == UDP and sum_ == 0:
        sum_ = 0xffff
    return segment[:at] + struct.pack("!H", sum_) + segment[at + 2:]


def udp(src, sport, dst, dport, data):
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    return transport(UDP, src, dst, head, 6, data)


def tcp(src, sport, dst, dport, flags, seq, ack):
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack, 0x50, flags, 64000, 0, 0)
    return transport(TCP, src, dst, head, 16, b"")


def icmp(type_, code, rest, data):
    head = struct.pack("!BBH4s", type_, code, 0, rest)
    return head[:2] + struct.pack("!H", checksum(head + data)) + rest + data


class Packet:
    """A parsed IPv4 packet."""

    def __init__(self, data):
        (ver, _, length, self.ident, frag, self.ttl, self.proto, _, src, dst) = \
            struct.unpack("!BBHHHBBH4s4s", data[:20])
        self.data = data = data[:length]
        self.head = (ver & 15) * 4
        self.src, self.dst = ip_text(src), ip_text(dst)
        self.offset, self.more = (frag & 0x1fff) * 8, bool(frag & 0x2000)
        self.body = data[self.head:]
        self.sport = self.dport = self.flags = self.type = self.code = 0
        self.inner = None
        if self.offset == 0 and self.proto in (UDP, TCP):
            self.sport, self.dport = struct.unpack("!HH", self.body[:4])
            if self.proto == TCP and len(self.body) >= 20:
                self.seq, self.ack = struct.unpack("!II", self.body[4:12])
                self.flags = self.body[13]
        if self.offset == 0 and self.proto == ICMP:
            self.type, self.code = self.body[0], self.body[1]
            if self.type in (0, 8):
                ident = struct.unpack("!H", self.body[4:6])[0]
                self.sport, self.dport = (ident, 0) if self.type == 8 else (0, ident)
            elif self.type in (3, 11, 12):
                self.inner = Packet(self.body[8:])

    @property
    def fragment(self):
        return self.more or self.offset > 0

    def sums_right(self):
        if checksum(self.data[:self.head]) != 0:
            return False
        if self.proto == ICMP:
            return checksum(self.body) == 0
        if self.proto == UDP and self.body[6:8] == b"\0\0":
            return True
        pseudo = self.data[12:20] + struct.pack("!BBH", 0, self.proto, len(self.body))
        return checksum(pseudo + self.body) == 0


def fragments(data, size=1200):
    """The packet in pieces of at most `size` bytes of payload."""
    p = Packet(data)
    pieces = []
    for at in range(0, len(p.body), size):
        more = at + size < len(p.body)
        pieces.append(ip4(p.src, p.dst, p.proto, p.body[at:at + size], p.ident, at, more, p.ttl))
    return pieces


class Reassembly:
    """Whole packets out of fragments, for the observer."""

    def __init__(self):
        self.parts = {}

    def add(self, packet):
        if not packet.fragment:
            return packet
        key = (packet.src, packet.dst, packet.proto, packet.ident)
        parts = self.parts.setdefault(key, {})
        parts[packet.offset] = packet
        at = 0
        body = b""
        while at in parts:
            body += parts[at].body
            if not parts[at].more:
                del self.parts[key]
                return Packet(ip4(packet.src, packet.dst, packet.proto, body, packet.ident))
            at += len(parts[at].body)
        return None


# ---- the record -----------------------------------------------------------------------------------
class Record:
    """What came out of a box, in words that do not depend on random draws. `traits` as in
    kernel_nat.KINDS: what is known of the box."""

    def __init__(self, traits, publics):
        self.traits = traits
        self.publics = publics  # outside addresses
        self.flows = {}         # (protocol, inside endpoint, remote endpoint) -> outside endpoint
        self.owners = {}        # (protocol, outside endpoint, remote) -> inside endpoint
        self.last = None        # the last outside port that was drawn
        self.draws = []

    def _range_ok(self, port, proto):
        if proto == ICMP:
            return True
        low, high = self.traits["port_min"], self.traits["port_max"]
        return low <= port <= high

    def outside_name(self, proto, inside, remote, outside):
        """`inside` appears to `remote` as `outside`."""
        flow, before = (proto, inside, remote), self.flows.get((proto, inside, remote))
        mine = {e for (p, i, _), e in self.flows.items() if (p, i) == (proto, inside)}
        self.flows[flow] = outside
        self.owners[(proto, outside, remote)] = inside
        ip, port = outside
        if ip not in self.publics:
            return f"{NAMES.get(ip, ip)}:{port}"
        if not self.traits["translated"]:
            return f"X:{port}"
        if not self.traits["paired"]:
            return "X:some"  # which address, and so whether ports clash, is the draw of the day
        if any(e[0] != ip for (p, i, _), e in self.flows.items()
               if i[0] == inside[0]):
            return f"another-address:{port}"
        if port == inside[1]:
            return "X:kept"
        if before == outside:
            return "X:same"
        self.draws.append(port)
        per_session = self.traits["mapping"] == "APD"
        if not per_session and outside in mine:
            return "X:as-before"
        if proto == ICMP:
            return "X:drawn"
        step = None if self.last is None else port - self.last
        self.last = port
        if self.traits["ports"] == "sequential":
            return "X:first" if step is None else f"X:{step:+d}"
        if port < 1024 and self.traits["port_min"] == 1024:
            return "X:drawn<1024"
        return "X:drawn" if self._range_ok(port, proto) else f"X:out-of-range({port})"


# ---- the script -----------------------------------------------------------------------------------
class Step:
    def __init__(self, line):
        self.line = line
        words = line.split()
        self.op, words = words[0], words[1:]
        self.options = dict(w.split("=", 1) for w in words if "=" in w)
        words = [w for w in words if "=" not in w]
        self.name = None
        if "as" in words:
            at = words.index("as")
            self.name = words[at + 1]
            del words[at:at + 2]
        self.words = words
        self.host = words[0].split(":")[0]


def parse(text):
    steps = []
    for line in text.splitlines():
        line = re.sub(r"\s+", " ", line.split("#")[0]).strip()
        if line:
            steps.append(Step(line))
    return steps


class Script:
    """Runs steps through a box; `lines` is the record."""

    def __init__(self, box, traits, publics):
        self.box = box
        self.record = Record(traits, publics)
        self.names = {}   # of outside endpoints
        self.seen = {}    # host, source endpoint -> the last packet that came from it
        self.seqs = {}
        self.ident = 100
        self.whole = {}   # host -> Reassembly
        self.lines = []

    def run(self, steps):
        for step in steps:
            out = self.step(step)
            self.lines.append(step.line + ": " + (", ".join(out) if out is not None else "-"))
        return self.lines

    def endpoint(self, text):
        """(ip, port) of `in1:41000`, of a name, or None for a name that never got a value."""
        if ":" in text:
            host, port = text.split(":")
            if host == "X":
                return (self.record.publics[0], int(port))
            return (IPS[host], int(port))
        if text in IPS:
            return (IPS[text] if text != "X" else self.record.publics[0], 0)
        return self.names.get(text)

    def step(self, step):
        if step.op == "wait":
            self.box.wait(float(step.words[0]))
            return None
        host = step.host
        target = step.words[step.words.index(">") + 1]
        to = self.endpoint(target)
        if to is None:
            return ["(no mapping)"]
        if step.op == "error":
            packets = self.make_error(host, step.words[1], to)
            if packets is None:
                return ["(nothing to refuse)"]
        else:
            packets = self.make(step, self.endpoint(step.words[0]), to)
        for p in packets:
            self.box.inject(host, p)
        return self.observe(step)

    def make(self, step, src, dst):
        self.ident += 1
        tag = b"%06d" % self.ident
        if step.op == "udp":
            data = tag.ljust(int(step.options.get("size", 6)), b".")
            packet = ip4(src[0], dst[0], UDP, udp(*src, *dst, data), self.ident)
        elif step.op == "tcp":
            flags = sum(FLAGS[f] for f in step.words[3].split("+"))
            packet = ip4(src[0], dst[0], TCP, self.make_tcp(step.host, src, dst, flags), self.ident)
        elif step.op == "echo":
            rest = struct.pack("!HH", src[1], 1)
            packet = ip4(src[0], dst[0], ICMP, icmp(8, 0, rest, tag), self.ident)
        elif step.op == "reply":
            rest = struct.pack("!HH", dst[1], 1)
            packet = ip4(src[0], dst[0], ICMP, icmp(0, 0, rest, tag), self.ident)
        else:
            raise ValueError("no such step: " + step.line)
        if "order" not in step.options:
            return [packet]
        pieces = fragments(packet)
        return [pieces[int(i)] for i in step.options["order"].split(",")]

    def make_tcp(self, host, src, dst, flags):
        """Sequence numbers as a connection would have them, so that no window check objects."""
        came, first = self.seen.get((host, dst)), 1000 * (src[1] % 1000) + 7
        ack = 0
        if came is not None and flags & FLAGS["ACK"]:
            ack = came.seq + bool(came.flags & FLAGS["SYN"]) + bool(came.flags & FLAGS["FIN"])
        seq = first if flags & FLAGS["SYN"] else self.seqs.get((src, dst), first)
        self.seqs[(src, dst)] = seq + bool(flags & (FLAGS["SYN"] | FLAGS["FIN"]))
        return tcp(*src, *dst, flags, seq, ack)

    def make_error(self, host, kind, to):
        """The host refuses the last packet it got from `to`."""
        me = IPS[host]
        cause = next((p for (h, e), p in self.seen.items() if h == host and e == to), None)
        if cause is None:
            return None
        type_, code = UNREACHABLE[kind]
        rest = struct.pack("!HH", 0, 1000 if kind == "big" else 0)
        return [ip4(me, to[0], ICMP, icmp(type_, code, rest, cause.data[:cause.head + 64]))]

    def observe(self, step):
        shown = []
        for host, data in self.box.collect():
            packet = self.whole.setdefault(host, Reassembly()).add(Packet(data))
            if packet is None:
                continue
            shown.append(self.show(step, host, packet))
            if not packet.sums_right():
                shown.append("(bad checksum)")
        return sorted(shown) or ["nothing"]

    def show(self, step, host, p):
        """One packet that `host` got, in words."""
        self.seen[(host, (p.src, p.sport))] = p
        outward = host not in INSIDE and step.host in INSIDE and p.inner is None
        if outward:
            inside = self.endpoint(step.words[0])
            outside = (p.src, p.sport)
            if step.name is not None:
                self.names[step.name] = outside
            source = self.record.outside_name(p.proto, inside, (p.dst, p.dport), outside)
        else:
            source = self.name(p.src, p.sport)
        text = f"{host} gets {KINDS[p.proto]} {source} > {self.name(p.dst, p.dport)}"
        if p.proto == TCP:
            text += " " + "+".join(n for n, bit in FLAGS.items() if p.flags & bit)
        if p.inner is not None:
            q = p.inner
            quoted = f"{self.name(q.src, q.sport)} > {self.name(q.dst, q.dport)}"
            text = f"{host} gets error {p.type}/{p.code} from {self.name(p.src, 0)} about {quoted}"
        if len(p.body) > 1000:
            text += f" {len(p.body)} bytes"
        return text

    def name(self, ip, port):
        if ip in BOX:
            return "X"
        if ip not in self.record.publics:
            host = NAMES.get(ip, ip)
            return f"{host}:{port}" if port else host
        mine = [n for n, e in self.names.items() if e == (ip, port) and port]
        if mine:
            return mine[0]
        return f"X:{port}" if port else "X"
