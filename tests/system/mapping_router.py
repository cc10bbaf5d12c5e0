# SPDX-License-Identifier: MIT
"""A home behind a real Linux router with miniupnpd: namespaces "in" (the home), "box" (the router),
"out" (the internet, with two addresses). Over IPv6 the box is a firewall only."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

import kernel_nat

# Public ones, or miniupnpd refuses: documentation ranges count as reserved.
EXTERNAL, OUTSIDE, OUTSIDE2 = "11.0.0.1", "11.0.0.9", "11.0.0.10"
SHARED = "100.64.7.7"  # the box's address when it is behind another NAT
HOME, ROUTER = "192.168.9.2", "192.168.9.1"
HOME6, OUTSIDE6 = "2a0c:1::2", "2a0c:2::9"

RULES = """
table inet bk {
    chain fw { }
    chain pre { }
    chain post { }
    chain forward {
        type filter hook forward priority -10; policy accept;
        jump fw
        iifname "ext" ct state established,related accept
        iifname "ext" ct status dnat accept
        iifname "ext" meta l4proto ipv6-icmp accept
        iifname "ext" drop
    }
    chain prerouting {
        type nat hook prerouting priority dstnat;
        jump pre
    }
    chain postrouting {
        type nat hook postrouting priority srcnat;
        jump post
        meta nfproto ipv4 oifname "ext" masquerade
    }
    chain input {
        type filter hook input priority 0;
        iifname "ext" ct state established,related accept
        iifname "ext" meta nfproto ipv4 drop
    }
}
"""

CONF = """
ext_ifname=ext
listening_ip=lan
enable_natpmp={natpmp}
enable_upnp={upnp}
secure_mode=yes
system_uptime=no
uuid=f6e8b05d-d557-41f0-afdb-12848561d39e
lease_file={work}/leases
lease_file6={work}/leases6
upnp_table_name=bk
upnp_nat_table_name=bk
upnp_forward_chain=fw
upnp_nat_chain=pre
upnp_nat_postrouting_chain=post
allow {ports} 192.168.9.0/24 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""


def need():
    """Skips the test (status 77) where such a router cannot be had."""
    if shutil.which("miniupnpd", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
        print("skipped: no miniupnpd (Debian: miniupnpd-nftables)")
        sys.exit(77)
    kernel_nat.need()


class Router:
    """The three namespaces; a context manager. `external` is the box's outside address."""

    def __init__(self, external=EXTERNAL):
        self.tag = f"bkm{os.getpid()}"
        self.external = external
        self.work = tempfile.mkdtemp(prefix="bodkin-test-")
        self.programs = []
        self.daemon = None

    def __enter__(self):
        try:
            self._up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for p in self.programs:
            if p.poll() is None:
                p.kill()
            p.wait()
        for name in ("in", "out", "box"):
            subprocess.run(["ip", "netns", "del", self.ns(name)], capture_output=True)
        shutil.rmtree(self.work, ignore_errors=True)

    def ns(self, name):
        return f"{self.tag}-{name}"

    def _ip(self, name, lines):
        kernel_nat.do(["ip", "-n", self.ns(name), "-b", "-"], lines)

    def _up(self):
        for name in ("box", "in", "out"):
            kernel_nat.do(["ip", "netns", "add", self.ns(name)])
            self._ip(name, "link set lo up\n")
        self._ip("box", f"""link add lan type veth peer name eth0 netns {self.ns("in")}
link add ext type veth peer name eth0 netns {self.ns("out")}
address add {ROUTER}/24 dev lan
address add {self.external}/24 dev ext
address add 2a0c:1::1/64 dev lan nodad
address add 2a0c:2::1/64 dev ext nodad
link set lan up
link set ext up
""")
        self._ip("in", f"""address add {HOME}/24 dev eth0
address add {HOME6}/64 dev eth0 nodad
link set eth0 up
route add default via {ROUTER}
""")
        self._ip("out", f"""address add {OUTSIDE}/24 dev eth0
address add {OUTSIDE2}/24 dev eth0
address add {OUTSIDE6}/64 dev eth0 nodad
link set eth0 up
route add default via 2a0c:2::1 dev eth0
""")
        link_local = self._link_local()
        self._ip("in", f"route add default via {link_local} dev eth0\n")
        kernel_nat.do(["ip", "netns", "exec", self.ns("box"), "sh"],
                      "echo 1 >/proc/sys/net/ipv4/ip_forward\n"
                      "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n")
        kernel_nat.do(["ip", "netns", "exec", self.ns("box"), "nft", "-f", "-"], RULES)

    def _link_local(self):
        until = time.monotonic() + 10
        while True:
            text = subprocess.run(["ip", "-n", self.ns("box"), "-6", "-o", "address", "show", "dev",
                                   "lan", "scope", "link", "-tentative"],
                                  capture_output=True, text=True).stdout
            if "fe80" in text:
                return text.split("inet6 ")[1].split("/")[0]
            if time.monotonic() > until:
                raise kernel_nat.Unable("no link-local address on the router")
            time.sleep(0.05)

    def start_daemon(self, natpmp="yes", upnp="yes", ports="1024-65535"):
        """miniupnpd, which answers when this returns."""
        conf = os.path.join(self.work, "conf")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(CONF.format(natpmp=natpmp, upnp=upnp, ports=ports, work=self.work))
        for name in ("leases", "leases6"):
            with open(os.path.join(self.work, name), "a", encoding="utf-8"):
                pass
        log = open(os.path.join(self.work, "daemon"), "w+", encoding="utf-8")
        self.daemon = self.popen("box", ["miniupnpd", "-d", "-f", conf, "-P",
                                         os.path.join(self.work, "pid")], stdout=log, stderr=log)
        until = time.monotonic() + 10
        while "Listening for" not in open(log.name, encoding="utf-8").read():
            if self.daemon.poll() is not None or time.monotonic() > until:
                raise kernel_nat.Unable("miniupnpd: " + open(log.name, encoding="utf-8").read())
            time.sleep(0.05)

    def stop_daemon(self):
        self.daemon.terminate()
        self.daemon.wait()

    def forget(self):
        """As if the power had gone: every mapping is lost."""
        for chain in ("fw", "pre", "post"):
            kernel_nat.do(["ip", "netns", "exec", self.ns("box"), "nft", "flush", "chain", "inet",
                           "bk", chain])
        for name in ("leases", "leases6"):
            open(os.path.join(self.work, name), "w", encoding="utf-8").close()

    def rules(self):
        """What miniupnpd has opened, one rule a line."""
        lines = []
        for chain in ("pre", "fw"):
            text = self.run("box", ["nft", "list", "chain", "inet", "bk", chain],
                            capture_output=True, text=True).stdout
            lines += [line.strip() for line in text.splitlines() if "dport" in line]
        return lines

    def command(self, host, argv):
        return ["ip", "netns", "exec", self.ns(host), *argv]

    def run(self, host, argv, **how):
        return subprocess.run(self.command(host, argv), **how)

    def popen(self, host, argv, **how):
        p = subprocess.Popen(self.command(host, argv), **how)
        self.programs.append(p)
        return p
