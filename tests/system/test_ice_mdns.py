#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Names of host candidates and Avahi, on one link: Avahi resolves the name that an agent with --mdns
gave its address, and an agent resolves a name that Avahi publishes.

    a 10.77.0.1: bodkin ─────── b 10.77.0.2: avahi-daemon on a D-Bus of its own
"""
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "interop", "ice"), HERE]
import kernel_nat  # noqa: E402
import lines  # noqa: E402

BODKIN = os.environ.get("BODKIN", "bodkin")
NAME = "5e9ac3b2-0c5e-4d0a-9c3e-0123456789ab.local"
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={0}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*"/>
<allow receive_sender="*"/></policy></busconfig>
"""
AVAHI = """[server]
use-ipv4=yes
use-ipv6=no
allow-interfaces=eth0
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
"""


def within(tag, name):
    return ["ip", "netns", "exec", f"{tag}-{name}"]


def link_up(tag):
    for name in "ab":
        kernel_nat.do(["ip", "netns", "add", f"{tag}-{name}"])
        kernel_nat.do(["ip", "-n", f"{tag}-{name}", "link", "set", "lo", "up"])
    kernel_nat.do(["ip", "-n", f"{tag}-a", "link", "add", "eth0", "type", "veth", "peer", "name",
                   "eth0", "netns", f"{tag}-b"])
    for i, name in enumerate("ab"):
        kernel_nat.do(["ip", "-n", f"{tag}-{name}", "-b", "-"],
                      f"address add 10.77.0.{i + 1}/24 dev eth0\nlink set eth0 up\n"
                      "route add default dev eth0\n")


def start_avahi(tag, folder, programs):
    """Gives the environment of Avahi's clients."""
    socket = os.path.join(folder, "bus")
    files = {"bus.conf": BUS.format(socket), "avahi.conf": AVAHI}
    for name, text in files.items():
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            f.write(text)
    env = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=" + socket}
    programs.append(subprocess.Popen(
        ["dbus-daemon", "--nofork", "--nopidfile", "--config-file", folder + "/bus.conf"],
        stderr=subprocess.DEVNULL))
    wait_for(lambda: os.path.exists(socket), "D-Bus does not start")
    programs.append(subprocess.Popen(
        [*within(tag, "b"), "avahi-daemon", "-f", folder + "/avahi.conf", "--no-drop-root",
         "--no-chroot", "--no-rlimits"], env=env, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL))
    programs.append(subprocess.Popen(
        [*within(tag, "b"), "avahi-publish", "-a", "-R", "-f", NAME, "10.77.0.2"], env=env,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    wait_for(lambda: resolve(tag, env, NAME) == "10.77.0.2", "Avahi does not publish")
    return env


def wait_for(done, what):
    until = time.monotonic() + 10
    while not done():
        if time.monotonic() > until:
            print("skipped:", what)
            sys.exit(77)
        time.sleep(0.1)


def resolve(tag, env, name):
    done = subprocess.run([*within(tag, "b"), "avahi-resolve", "-4", "-n", name], env=env,
                          capture_output=True, text=True, timeout=20)
    return done.stdout.split()[1] if done.stdout else done.stderr


async def start(tag, host, *more):
    peer = await lines.start(host, [BODKIN, "ice", "--protocol", "-4", *more],
                             within=within(tag, host))
    lines.begin(peer, "controlling" if host == "a" else "controlled")
    await peer.wait("gathered", 10)
    return peer


def candidate(peer):
    found = [args for _, word, args in peer.events if word == "candidate"]
    assert len(found) == 1, found
    return found[0]


async def avahi_resolves_ours(tag, env):
    peer = await start(tag, "a", "--mdns")
    name = candidate(peer).split()[4]
    assert name.endswith(".local"), name
    assert resolve(tag, env, name) == "10.77.0.1", resolve(tag, env, name)
    await peer.end()


async def we_resolve_avahis(tag):
    a, b = await start(tag, "a"), await start(tag, "b")
    for one, other in ((a, b), (b, a)):  # and no candidate for b: it waits for a's checks
        other.tell("remote-credentials " + one.last("credentials"))
    assert " 10.77.0.2 " in candidate(b)
    a.tell("remote-candidate " + candidate(b).replace(" 10.77.0.2 ", f" {NAME} "))
    for peer in (a, b):
        await peer.wait("connected", 15)
    for peer in (a, b):
        await peer.end()


def main():
    kernel_nat.need()
    for tool in ("dbus-daemon", "avahi-daemon", "avahi-publish", "avahi-resolve"):
        if shutil.which(tool) is None:
            print(f"skipped: {tool} is not installed")
            return 77
    tag, programs = f"bkm{os.getpid()}", []
    with tempfile.TemporaryDirectory(prefix="bodkin-test-") as folder:
        try:
            link_up(tag)
            env = start_avahi(tag, folder, programs)
            asyncio.run(avahi_resolves_ours(tag, env))
            asyncio.run(we_resolve_avahis(tag))
        finally:
            for p in reversed(programs):
                p.kill()
                p.wait()
            for name in "ab":
                subprocess.run(["ip", "netns", "del", f"{tag}-{name}"], capture_output=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
