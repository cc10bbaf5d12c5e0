#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin serve` with channels in the kernel (src/fastpath): a client, a server and a peer in network
namespaces. The data goes past the server's sockets, its bytes are counted to the last one, and after
the answer to the request that ends an allocation nothing is relayed. With XDP where the links have it,
with tc, and without, which makes no difference but that. 77: not root, or not built in."""
import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import time

from serve import BODKIN, Server, run
from turn import Client

CLIENT, SERVER, RELAY, PEER = "100.1.1.1", "100.1.1.2", "100.1.2.2", "100.1.2.1"
CLONE_NEWNET = 0x40000000
SIZES = [0, 1, 2, 3, 4, 5, 77, 100, 1000, 1200, 1201, 1202, 1203, 1468] * 10
libc = ctypes.CDLL(None, use_errno=True)


def skip(why):
    print(f"skipped: {why}")
    sys.exit(77)


def enter(fd):
    assert libc.setns(fd, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())


def ip(*words):
    subprocess.run(["ip", *words], check=True, pass_fds=list(spaces.values()))


def namespace():
    if libc.unshare(CLONE_NEWNET) != 0:
        skip(f"no namespaces: {os.strerror(ctypes.get_errno())}")
    ip("link", "set", "lo", "up")
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def link(name, there, ours, theirs):
    enter(spaces["server"])
    ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns",
       f"/proc/{os.getpid()}/fd/{spaces[there]}")
    ip("addr", "add", f"{ours}/24", "dev", name)
    ip("link", "set", name, "up")
    enter(spaces[there])
    ip("addr", "add", f"{theirs}/24", "dev", "eth0")
    ip("link", "set", "eth0", "up")
    ip("route", "add", "default", "via", ours)
    # The queue that XDP of the other end sends into; without ethtool it will be tc.
    subprocess.run("ethtool -K eth0 gro on", shell=True, check=False, stderr=subprocess.DEVNULL)
    enter(spaces["server"])


spaces = {}


def udp(where, address):
    enter(spaces[where])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    enter(spaces["server"])
    sock.bind(address)
    sock.settimeout(15)
    return sock


def datagrams_in():
    """Of all sockets in the server's namespace."""
    with open("/proc/thread-self/net/snmp") as snmp:
        return next(int(line.split()[1]) for line in list(snmp)[::-1] if line.startswith("Udp: ")
                    and line.split()[1].isdigit())


def relay_all(client, peer, relayed):
    """To and fro; gives the bytes each way."""
    for size in SIZES:
        data = os.urandom(size)
        client.send_channel(0x4000, data)
        got, source = peer.recvfrom(2000)
        assert got == data and source == relayed, f"{size} bytes came as {len(got)} from {source}"
        peer.sendto(data[::-1], relayed)
        assert client.data() == (0x4000, data[::-1])
    return sum(SIZES)


def session(mode, in_kernel):
    server = Server("--listen", SERVER, "--relay-address", RELAY, "--turn-user", "user:password",
                    "--turns", "0", "--fastpath", mode)
    if in_kernel and "fastpath interface=" not in server.logged():
        why = [line for line in server.logged().splitlines() if "fastpath" in line]
        server.kill()
        skip(f"no fast path: {why}")
    peer = udp("peer", (PEER, 0))
    sock = udp("client", (CLIENT, 0))
    sock.connect((SERVER, server.stun))
    client = Client(sock)
    relayed = client.allocate()
    client.bind(0x4000, peer.getsockname())
    server.wait_for_metric("bodkin_turn_flows", 1 if in_kernel else 0)
    client.send_channel(0x4000, b"who has the peer?")  # the system learns it from this one
    peer.recvfrom(2000)
    before = datagrams_in()
    count = relay_all(client, peer, relayed)
    seen = datagrams_in() - before
    if in_kernel:
        assert seen < len(SIZES) // 4, f"{seen} datagrams went through the sockets"
    else:
        assert seen >= 2 * len(SIZES), f"{seen} datagrams only: {server.logged()}"
    server.wait_for_metric('bodkin_turn_bytes_total{direction="to_client"}', count)
    server.wait_for_metric('bodkin_turn_bytes_total{direction="to_peer"}', count + 17)
    client.refresh(0)
    client.send_channel(0x4000, b"too late")
    peer.sendto(b"too late", relayed)
    for end in (peer, sock):
        end.settimeout(0.2)
        try:
            assert False, f"after the end: {end.recv(2000)}"
        except (TimeoutError, ConnectionRefusedError):
            pass
    server.wait_for_metric("bodkin_turn_flows", 0)
    server.close()
    peer.close()
    sock.close()


def test_xdp_or_what_there_is():
    session("auto", True)


def test_tc():
    session("tc", True)


def has_sockets():
    with open("/proc/thread-self/net/udp") as sockets:
        return len(list(sockets)) > 1


def has_programs(pid):
    links = (os.path.join(f"/proc/{pid}/fd", fd) for fd in os.listdir(f"/proc/{pid}/fd"))
    return any("bpf-prog" in os.readlink(x) for x in links if os.path.islink(x))


def test_ports_open_after_what_takes_long():
    """The kernel takes seconds to check the programs: clients that ask meanwhile give up."""
    with tempfile.TemporaryDirectory(prefix="bodkin-test-") as state:
        command = [BODKIN, "serve", "--listen", SERVER, "--https", "0", "--stun", "0", "--turns", "0",
                   "--state", state, "--turn-user", "user:password", "--fastpath", "tc"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            while not has_sockets():
                assert process.poll() is None, "it does not start"
                time.sleep(0.001)
            assert has_programs(process.pid), "it can be asked, but will not answer for long"
        finally:
            process.kill()
            process.wait()


def test_without():
    session("off", False)


if os.geteuid() != 0:
    skip("needs root")
for space in ("client", "peer", "server"):
    spaces[space] = namespace()
    os.set_inheritable(spaces[space], True)
link("client", "client", SERVER, CLIENT)
link("peer", "peer", RELAY, PEER)
run([test_xdp_or_what_there_is, test_tc, test_ports_open_after_what_takes_long, test_without])
