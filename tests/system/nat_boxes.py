# SPDX-License-Identifier: MIT
"""The boxes that packet scripts (nat_script.py) run through."""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import time

import kernel_nat
from nat_script import INSIDE, IPS, Packet

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def _in_namespace(path, work):
    """work() while this thread is in another network namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(path, os.O_RDONLY)
    try:
        if _libc.setns(there, CLONE_NEWNET) != 0:
            raise kernel_nat.Unable("setns: " + os.strerror(ctypes.get_errno()))
        try:
            return work()
        finally:
            _libc.setns(here, CLONE_NEWNET)
    finally:
        os.close(here)
        os.close(there)


def _open_tun(name):
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), 0x1001))  # TUN, NO_PI
    except OSError as e:
        raise kernel_nat.Unable(f"TUN device: {e}") from e
    return fd


def _sleep(seconds):
    """Returns by how much it was too long."""
    begin = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - begin - seconds


def _conntrack():
    s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
    s.bind((0, 0))
    return s


class KernelBox:
    """Linux itself. Its links are TUN devices, and the kernel forwards within write(): when that
    returns, whatever comes of the packet is there to be read, or will never be."""
    count = 0

    def __init__(self, kind, **timeouts):
        self.inner, self.outer, _ = kernel_nat.KINDS[kind]
        KernelBox.count += 1
        self.tag = f"bkt{os.getpid()}-{KernelBox.count}"
        self.timeouts = timeouts
        self.tuns = {}
        self.made = []
        self.tables = []
        try:
            self._build(timeouts)
            self.tables = [_in_namespace(f"/run/netns/{ns}", _conntrack) for ns in self.made]
        except BaseException:
            self.close()
            raise

    def _namespace(self, name):
        ns = f"{self.tag}-{name}"
        kernel_nat.do(["ip", "netns", "add", ns])
        self.made.append(ns)
        return ns

    def _tun(self, ns, name):
        self.tuns[name] = _in_namespace(f"/run/netns/{ns}", lambda: _open_tun(name))

    def _build(self, timeouts):
        box = self._namespace("box")
        outermost = box if self.outer is None else self._namespace("cgn")
        self._tun(box, "in1")
        self._tun(box, "in2")
        self._tun(outermost, "out")
        lines = "link set lo up\n"
        for host in INSIDE:
            net = IPS[host].rsplit(".", 1)[0]
            lines += f"address add {net}.1/24 dev {host}\nlink set {host} up\n"
        wan = "link set lo up\nlink set out up\n" if outermost != box else "link set out up\n"
        wan += "".join(f"address add {a}/24 dev out\n" for a in kernel_nat.POOL)
        wan += "route add default dev out\n"
        if outermost != box:
            lines += f"link add out type veth peer name in1 netns {outermost}\n"
            lines += f"address add {kernel_nat.SHARED}/24 dev out\nlink set out up\n"
            wan += "address add 100.64.0.1/24 dev in1\nlink set in1 up\n"
            kernel_nat.do(["ip", "-n", box, "-b", "-"], lines)
            kernel_nat.do(["ip", "-n", outermost, "-b", "-"], wan)
            kernel_nat.do(["ip", "-n", box, "route", "add", "default", "via", "100.64.0.1"])
            kernel_nat.configure_box(outermost, self.outer, kernel_nat.PUBLIC, **timeouts)
            kernel_nat.configure_box(box, self.inner, kernel_nat.SHARED, **timeouts)
        else:
            kernel_nat.do(["ip", "-n", box, "-b", "-"], lines + wan)
            kernel_nat.configure_box(box, self.inner, kernel_nat.PUBLIC, **timeouts)

    def reset(self):
        """Forgets all connections. Maps and counters of nftables need the rules anew."""
        rules = [self.inner] if self.outer is None else [self.inner, self.outer]
        for ns, box in zip(self.made, rules):
            if box == "seq" or box.startswith(("arc", "fullcone")):
                x = kernel_nat.PUBLIC if ns == self.made[-1] else kernel_nat.SHARED
                kernel_nat.do(["ip", "netns", "exec", ns, "nft", "-f", "-"],
                              "flush ruleset\n" + kernel_nat.BOXES[box](x))
        for table in self.tables:  # IPCTNL_MSG_CT_DELETE without a tuple: all of them
            table.send(struct.pack("=IHHIIBBH", 20, 0x102, 5, 1, 0, socket.AF_INET, 0, 0))
            if struct.unpack("=i", table.recv(1000)[16:20])[0] != 0:
                raise kernel_nat.Unable("cannot flush connection tracking")

    def inject(self, host, packet):
        os.write(self.tuns[host if host in INSIDE else "out"], packet)

    def collect(self):
        got = []
        for link, fd in self.tuns.items():
            while True:
                try:
                    data = os.read(fd, 70000)
                except BlockingIOError:
                    break
                if data[0] >> 4 != 4:
                    continue  # the kernel's own IPv6 neighbour chatter
                got.append((link if link in INSIDE else outside_host(data), data))
        return got

    def wait(self, seconds):
        self.late = max(self.late, _sleep(seconds))

    def close(self):
        for fd in self.tuns.values():
            os.close(fd)
        for table in self.tables:
            table.close()
        for ns in self.made:
            subprocess.run(["ip", "netns", "del", ns], capture_output=True)
        self.tuns, self.made = {}, []


def outside_host(data):
    dst = Packet(data).dst
    return next((n for n, ip in IPS.items() if ip == dst), dst)


# What each kind of Linux box is in the model's words.
_LINUX = ["preset=home", "overload=per-destination", "port-class=on", "unsolicited-inside=reject",
          "tcp-after-reset=10", "icmp-filtering=APDF", "icmp-ports=preserve"]
_RANDOM = _LINUX + ["mapping=connection", "ports=random", "icmp-ports=as-udp"]
_ACCEPT = ["unsolicited=reject", "inbound-first=on"]
MODELS = {
    "prc": ["preset=linux-masquerade"],
    "prc+accept": ["preset=linux-accept"],
    "prc+reject": _LINUX + ["unsolicited=reject"],
    "snat": _LINUX,
    "snatp": _LINUX,
    "snat+accept": _LINUX + _ACCEPT,
    "fixed": _LINUX + ["ports=preserve-strict"],
    "fixed+accept": _LINUX + ["ports=preserve-strict"] + _ACCEPT,
    "pool": _LINUX + ["pooling=arbitrary"],
    "poolp": _LINUX,
    "rnd": _RANDOM,
    "sym": ["preset=linux-random", "mapping=connection"],
    "symblk": _RANDOM + ["icmp-ports=preserve", "port-range=20000-20063", "port-class=off"],
    "block": _LINUX + ["ports=random", "port-range=20480-21503", "port-class=off"],
    "eimr": _LINUX + ["ports=hash", "port-range=40000-41023", "port-class=off"],
    "admr": _LINUX + ["mapping=ADM", "ports=hash-remote", "port-range=40000-41023",
                      "port-class=off"],
    "seq": _LINUX + ["mapping=connection", "ports=sequential", "port-range=40000-40511",
                     "port-class=off"],
    "arc": _LINUX + ["filtering=ADF"],
    "fullcone": _LINUX + ["filtering=EIF"],
    "fullcone+hp": _LINUX + ["filtering=EIF", "hairpin=external"],
    "fullcone+hpint": _LINUX + ["filtering=EIF", "hairpin=internal"],
    "noudp": _LINUX + ["udp=blocked"],
    "webonly": _LINUX + ["udp=blocked", "tcp=80,443"],
}


def publics_of(box, x):
    return kernel_nat.POOL if box in ("pool", "poolp") and x == kernel_nat.PUBLIC else [x]


class Model:
    """One box of the model: the program nat-box."""

    def __init__(self, settings):
        self.process = subprocess.Popen([os.environ["NAT_BOX"], *settings], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        out = []
        while True:
            got = self.process.stdout.readline()
            if got == ".\n":
                return out
            if not got:
                raise RuntimeError("nat-box ended")
            out.append((got[0], bytes.fromhex(got[2:].strip())))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


class ModelBox:
    """The model, one or two boxes of it, in virtual time."""

    def __init__(self, kind, udp_timeout=30, udp_stream=120, icmp_timeout=30, syn_timeout=120):
        inner, outer, _ = kernel_nat.KINDS[kind]
        timers = [f"udp-first={udp_timeout}", f"udp-replied={udp_stream}", f"icmp={icmp_timeout}",
                  f"tcp-partial={syn_timeout}"]
        x = kernel_nat.PUBLIC if outer is None else kernel_nat.SHARED
        self.boxes = [self._box(inner, x, timers)]
        if outer is not None:
            self.boxes.append(self._box(outer, kernel_nat.PUBLIC, timers))
        self.got = []

    @staticmethod
    def _box(box, x, timers):
        return Model(MODELS[box] + timers + [f"public={a}" for a in publics_of(box, x)])

    def reset(self):
        for box in self.boxes:
            box.tell("r")

    def inject(self, host, packet):
        inside = host in INSIDE
        self._carry(0 if inside else len(self.boxes) - 1, "i" if inside else "o", packet)

    def _carry(self, box, side, packet):
        for to, data in self.boxes[box].tell(f"{side} {packet.hex()}"):
            if to == "o" and box + 1 < len(self.boxes):
                self._carry(box + 1, "i", data)
            elif to == "i" and box > 0:
                self._carry(box - 1, "o", data)
            else:
                self.got.append((outside_host(data), data))

    def collect(self):
        got, self.got = self.got, []
        return got

    def wait(self, seconds):
        for box in self.boxes:
            box.tell(f"t {int(seconds * 1e6)}")

    def close(self):
        for box in self.boxes:
            box.close()


# ---- the model in `bodkin lab` --------------------------------------------------------------------
LAB_HOSTS = ("in1", "in2", "A", "B", "C")
_AGENT = '''
import os, socket, subprocess, sys
path, name = sys.argv[1:]
quiet = """table inet quiet {
chain input { type filter hook prerouting priority -500
drop
}
chain output { type filter hook output priority -500
drop
}
}"""
subprocess.run(["nft", "-f", "-"], input=quiet, text=True, check=True)
link = next(i for _, i in socket.if_nameindex() if i != "lo")
raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
raw.bind((link, 0x0800))
raw.setblocking(False)
way = socket.socket(socket.AF_UNIX)
way.connect(path)
socket.send_fds(way, [f"{name} {link}".encode()], [raw.fileno()])
way.recv(1)
'''
_ECHO = '''
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 7))
print("ready", flush=True)
while True:
    data, who = s.recvfrom(100)
    s.sendto(data, who)
'''
_ECHO_IP = "198.51.100.202"


def lab_file(kind, work, resets, driver, udp_timeout, udp_stream, icmp_timeout, syn_timeout):
    """The topology file of one kind. The `driver` runs in it, and asks for at most `resets` reboots
    of its boxes by saying so."""
    inner, outer, _ = kernel_nat.KINDS[kind]
    for name, text in (("agent.py", _AGENT), ("echo.py", _ECHO)):
        with open(os.path.join(work, name), "w", encoding="ascii") as f:
            f.write(text)
    timers = [f"udp-first={udp_timeout}", f"udp-replied={udp_stream}", f"icmp={icmp_timeout}",
              f"tcp-partial={syn_timeout}"]

    def box(name, kind_of_box, publics, inside, behind):
        lines = [f"[nat {name}]", f"public = {', '.join(publics)}", f"inside = {inside}"]
        lines += [behind] if behind else []
        return lines + [s.replace("=", " = ", 1) for s in MODELS[kind_of_box] + timers]
    lines = ["[lab]", "timeout = 120s"]
    if outer is not None:
        lines += box("cgn", outer, publics_of(outer, kernel_nat.PUBLIC), "100.64.0.1/24", None)
    x = kernel_nat.PUBLIC if outer is None else kernel_nat.SHARED
    lines += box("box", inner, publics_of(inner, x), "192.168.1.1/16",
                 "behind = cgn" if outer is not None else None)
    for host in LAB_HOSTS:
        lines += [f"[host {host}]", f"address = {IPS[host]}"]
        lines += ["behind = box"] if host in INSIDE else []
    lines += ["[host echo]", f"address = {_ECHO_IP}", "[host probe]", "address = 198.51.100.201"]
    python = driver[0]
    lines += ["[run]", f"start echo: {python} {work}/echo.py", "wait echo: ready",
              f"start probe as driver: {' '.join(driver)}", "wait driver: listening"]
    lines += [f"start {h}: {python} {work}/agent.py {work}/agents {h}" for h in LAB_HOSTS]
    for i in range(resets):
        lines += [f"wait driver: reset {i}", "reboot box"]
        lines += ["reboot cgn"] if outer is not None else []
        lines += [f"probe: touch {work}/reset-{i}"]
    return "\n".join(lines + ["join driver", ""])


class LabBox:
    """The boxes of a running lab, seen from its host `probe`."""

    def __init__(self, work, resets_max):
        self.work, self.resets, self.resets_max, self.late = work, 0, resets_max, 0
        self.links = {}
        server = socket.socket(socket.AF_UNIX)
        server.bind(os.path.join(work, "agents"))
        os.chmod(os.path.join(work, "agents"), 0o777)
        server.listen()
        print("listening", flush=True)
        self.agents = []  # they end when these close
        for _ in LAB_HOSTS:
            agent, _ = server.accept()
            said, fds, _, _ = socket.recv_fds(agent, 100, 1)
            name, link = said.decode().split()
            self.links[name] = (socket.socket(fileno=fds[0]), link)
            self.agents.append(agent)
        self.probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.probe.connect((_ECHO_IP, 7))
        self.probe.settimeout(30)

    def reset(self):
        print(f"reset {self.resets}", flush=True)
        while not os.path.exists(os.path.join(self.work, f"reset-{self.resets}")):
            time.sleep(0.005)
        self.resets += 1
        self.collect()

    def inject(self, host, packet):
        raw, link = self.links[host]
        raw.sendto(packet, (link, 0x0800))

    def collect(self):
        """The lab carries packets in order and at once: when a later one has come back twice, all
        that ours did has been done."""
        for _ in range(2):
            self.probe.send(b"anything left?")
            self.probe.recv(100)
        got = []
        for host, (raw, _) in self.links.items():
            while True:
                try:
                    data, where = raw.recvfrom(70000)
                except BlockingIOError:
                    break
                if where[2] != socket.PACKET_OUTGOING:
                    got.append((host, data))
        return got

    def wait(self, seconds):
        self.late = max(self.late, _sleep(seconds))

    def close(self):
        for agent in self.agents:
            agent.close()
        for unused in range(self.resets, self.resets_max):
            print(f"reset {unused}", flush=True)
