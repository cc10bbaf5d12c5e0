# SPDX-License-Identifier: MIT
"""Small networks in namespaces for tests of what is near: hosts on bridges, routers with nft rules,
a home server in the middle. Everything ends with the `with`."""
import json
import os
import re
import subprocess
import tempfile
import time

import kernel_nat

BODKIN = os.environ.get("BODKIN", "bodkin")


class Net:
    """Hosts by short names; links between a host and a switch (a namespace with a bridge)."""

    def __init__(self):
        self.tag = f"bkn{os.getpid()}"
        self.hosts, self.programs = [], []
        self.folder = tempfile.TemporaryDirectory(prefix="bodkin-test-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in reversed(self.programs):
            if p.poll() is None:
                p.terminate()
            try:
                p.wait(10)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        for name in self.hosts:
            subprocess.run(["ip", "netns", "del", f"{self.tag}{name}"], capture_output=True)
        self.folder.cleanup()

    def ns(self, name):
        return f"{self.tag}{name}"

    def ip(self, name, *words):
        kernel_nat.do(["ip", "-n", self.ns(name), *words])

    def add(self, *names, switch=False):
        for name in names:
            kernel_nat.do(["ip", "netns", "add", self.ns(name)])
            self.hosts.append(name)
            self.ip(name, "link", "set", "lo", "up")
            # No waiting for addresses to prove unique; no addresses but ours.
            for key in ("accept_dad=0", "dad_transmits=0", "accept_ra=0"):
                self.inside(name, "sysctl", "-qw", f"net.ipv6.conf.all.{key}",
                            f"net.ipv6.conf.default.{key}")
            if switch:
                self.ip(name, "link", "add", "name", "bridge0", "type", "bridge", "mcast_snooping", "0")
                self.ip(name, "link", "set", "bridge0", "up")

    def plug(self, name, port, switch, *addresses):
        """A cable from `port` of a host to a switch."""
        cable = f"{name}{port}"
        self.ip(switch, "link", "add", cable, "type", "veth", "peer", "name", port, "netns",
                self.ns(name))
        self.ip(switch, "link", "set", cable, "master", "bridge0", "up")
        self.ip(name, "link", "set", port, "up")
        for address in addresses:
            flags = ["nodad"] if ":" in address else []
            self.ip(name, "addr", "add", address, "dev", port, *flags)

    def within(self, name, *words):
        return ["ip", "netns", "exec", self.ns(name), *words]

    def inside(self, name, *words, **how):
        return subprocess.run(self.within(name, *words), check=True, capture_output=True, **how)

    def rules(self, name, text):
        kernel_nat.do(self.within(name, "nft", "-f", "-"), text)

    def forwards(self, name):
        self.inside(name, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")

    def environment(self, user):
        home = os.path.join(self.folder.name, user)
        os.makedirs(home, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BODKIN_", "XDG_"))}
        return {**env, "HOME": home}

    def start(self, name, *words, user=None):
        """Runs bodkin in the background; its standard error is `.log`."""
        user = user or name
        log = os.path.join(self.folder.name, f"{user}.{len(self.programs)}.log")
        with open(log, "wb") as f:
            p = subprocess.Popen(self.within(name, BODKIN, *words), stdin=subprocess.DEVNULL,
                                 stdout=f, stderr=f, env=self.environment(user))
        p.log = log
        self.programs.append(p)
        return p

    def serve(self, name, address, *words):
        """The home's URL."""
        p = self.start(name, "serve", "--name", address, "--state",
                       os.path.join(self.folder.name, "state"), *words, user="home")
        return wait_for(p, r"^home: (\S+)")

    def listen(self, name, home, *words, user=None):
        """A peer that waits, and its ticket."""
        p = self.start(name, "listen", "--home", home, *words, user=user or "listen")
        return p, wait_for(p, r"^ticket: (\S+)")

    def ping(self, name, ticket, *words, count=20, user="ping"):
        """The path events of a ping, in order."""
        done = subprocess.run(
            self.within(name, BODKIN, "ping", "--json", "--count", str(count), "--interval", "100",
                        *words, ticket), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, env=self.environment(user))
        paths = [e for e in events(done.stderr + done.stdout) if e.get("event") == "path"]
        assert paths, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return paths


    def settles(self, name, ticket, wanted, *words, tries=3):
        """Is the last direct path of some ping one to an address that begins like this? On a busy
        machine any path may fall silent for a moment, and then another one is taken."""
        for _ in range(tries):
            paths = self.ping(name, ticket, "--on", *words, count=10)
            last = [p["remote"].strip("[") for p in paths if p["kind"] == "direct"][-1:]
            if last and last[0].startswith(wanted):
                return True
        print(paths)
        return False


def events(text):
    for line in text.splitlines():
        if line.startswith("{"):
            yield json.loads(line)


def wait_for(program, pattern, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with open(program.log, encoding="utf-8", errors="replace") as f:
            text = f.read()
        found = re.search(pattern, text, re.M)
        if found:
            return found.group(1) if found.groups() else found.group(0)
        assert program.poll() is None, f"it ended: {text[-2000:]}"
        time.sleep(0.05)
    raise AssertionError(f"nobody said {pattern}: {text[-2000:]}")
