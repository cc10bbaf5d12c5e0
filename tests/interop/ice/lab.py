# SPDX-License-Identifier: MIT
"""The networks of the matrix, in namespaces of their own; NATs and routers are Linux's.

    a 192.168.1.2 ─ [boxa 203.0.113.1] ─┐
                                        ├─ core ─ server 198.51.100.1: coturn, STUN and TURN
    b 192.168.2.2 ─ [boxb 203.0.113.5] ─┘

Without NATs ("direct") `core` routes between a and b; with `ipv6` they are 2001:db8:1::2 and
2001:db8:2::2 and have no IPv4 address. With NATs each box is one of the kinds of
tests/system/kernel_nat.py. The caller has called kernel_nat.need().

Run as a program, `lab.py FILE` writes every packet its namespace sends or receives, until killed:
4 bytes of length, 1 of direction (4: sent), the packet from its IP header on.
"""
import os
import socket
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "system"))
import kernel_nat  # noqa: E402

SERVER = "198.51.100.1"
USER, PASSWORD = "bodkin", "Tr0ub4dor-and-3-horses"
HOSTS = {"a": "192.168.1", "b": "192.168.2"}
HOSTS6 = {"a": "2001:db8:1:", "b": "2001:db8:2:"}
PUBLIC = {"a": "203.0.113.1", "b": "203.0.113.5"}


class Lab:
    """A context manager. `nat`: a kind of box before each host, None: none. `tag` begins the names."""

    def __init__(self, tag, nat=None, ipv6=False):
        self.tag, self.nat, self.ipv6 = tag, nat, ipv6
        self.made, self.programs = [], []

    def ns(self, name):
        return f"{self.tag}-{name}"

    def within(self, name):
        return ["ip", "netns", "exec", self.ns(name)]

    def _ip(self, name, lines):
        kernel_nat.do(["ip", "-n", self.ns(name), "-b", "-"], lines)

    def _make(self, name):
        kernel_nat.do(["ip", "netns", "add", self.ns(name)])
        self.made.append(name)
        self._sysctl(name, "net/ipv6/conf/default/accept_dad", 0)  # usable at once
        self._ip(name, "link set lo up\n")

    def _link(self, router, link, ip, host, host_link, host_ip, prefix=24):
        self._ip(router, f"link add {link} type veth peer name {host_link} netns {self.ns(host)}\n"
                 f"address add {ip}/{prefix} dev {link}\nlink set {link} up\n")
        self._ip(host, f"address add {host_ip}/{prefix} dev {host_link}\nlink set {host_link} up\n"
                 f"route add default via {ip}\n")

    def __enter__(self):
        try:
            self._up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _up(self):
        for name in ("core", "server", "a", "b"):
            self._make(name)
        for name, net in HOSTS.items():
            if self.ipv6:
                net = HOSTS6[name]
                self._link("core", "to" + name, net + ":1", name, "eth0", net + ":2", prefix=64)
                continue
            if self.nat is None:
                self._link("core", "to" + name, net + ".1", name, "eth0", net + ".2")
                continue
            box = "box" + name
            self._make(box)
            router = PUBLIC[name][:-1] + str(int(PUBLIC[name][-1]) + 1)
            self._link("core", "to" + name, router, box, "out", PUBLIC[name], prefix=30)
            self._link(box, "in1", net + ".1", name, "eth0", net + ".2")
        self._link("core", "srv", "198.51.100.126", "server", "eth0", SERVER)
        self._sysctl("core", "net/ipv4/ip_forward", 1)
        self._sysctl("core", "net/ipv6/conf/all/forwarding", 1)
        for name in HOSTS:
            if self.nat is not None:
                kernel_nat.configure_box(self.ns("box" + name), self.nat, PUBLIC[name])
        self._wait_for_links()

    def _wait_for_links(self):
        """A link just made is not "running" at once, and libnice skips those that are not."""
        until = time.monotonic() + 5
        for name in HOSTS:
            while "state UP" not in subprocess.run(["ip", "-n", self.ns(name), "link", "show", "eth0"],
                                                   capture_output=True, text=True).stdout:
                if time.monotonic() > until:
                    raise kernel_nat.Unable("eth0 does not come up")
                time.sleep(0.02)

    def _sysctl(self, name, key, value):
        kernel_nat.do([*self.within(name), "sh", "-c", f"echo {value} >/proc/sys/{key}"])

    def popen(self, name, argv, **how):
        p = subprocess.Popen([*self.within(name), *argv], **how)
        self.programs.append(p)
        return p

    def certificate(self, folder):
        """For turnserver(): SERVER's, signed by itself."""
        key, cert = (os.path.join(folder, self.tag + end) for end in (".key", ".pem"))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=relay", "-addext", "subjectAltName=IP:" + SERVER, "-keyout",
                        key, "-out", cert], check=True, capture_output=True)
        return ["--cert", cert, "--pkey", key]

    def turnserver(self, *more, log=subprocess.DEVNULL):
        """coturn on SERVER, ports 3478 (and 5349 where `more` has a certificate)."""
        tls = [] if "--cert" in more else ["--no-tls", "--no-dtls"]
        self.popen("server", ["turnserver", "-n", "-L", SERVER, "-E", SERVER, "-p", "3478", "-a",
                              "-u", f"{USER}:{PASSWORD}", "-r", "example", "--no-cli", "-m", "1",
                              *tls, "--pidfile", f"/tmp/{self.tag}.pid", "--log-file", "stdout",
                              *more], stdout=log, stderr=log)
        until = time.monotonic() + 10
        while not self._listens():
            if time.monotonic() > until:
                raise kernel_nat.Unable("coturn does not start")
            time.sleep(0.05)

    def _listens(self):
        done = subprocess.run([*self.within("server"), "cat", "/proc/net/tcp"],
                              capture_output=True, text=True)
        return ":0D96 00000000:0000 0A" in done.stdout

    def capture(self, name, path):
        """Writes what `name` sends and receives from now on; packets() reads it."""
        p = self.popen(name, [sys.executable, os.path.join(HERE, "lab.py"), path],
                       stdout=subprocess.PIPE)
        assert p.stdout.readline() == b"ready\n"

    def __exit__(self, *_):
        for p in self.programs:
            if p.poll() is None:
                p.kill()
            p.wait()
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True)
        self.programs, self.made = [], []


def packets(path):
    """(sent, packet) of everything captured."""
    with open(path, "rb") as f:
        while len(head := f.read(5)) == 5:
            yield head[4] == socket.PACKET_OUTGOING, f.read(struct.unpack(">I", head[:4])[0])


def _capture(path):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))  # ETH_P_ALL
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    with open(path, "wb", buffering=0) as f:
        os.write(1, b"ready\n")
        while True:
            data, where = s.recvfrom(65536)
            f.write(struct.pack(">IB", len(data), where[2]) + data)


if __name__ == "__main__":
    _capture(sys.argv[1])
