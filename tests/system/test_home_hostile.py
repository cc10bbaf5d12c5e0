#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reaching home from networks that do not want it, and after a change of address, in namespaces of
the test's own: only port 443 open, an HTTP proxy and a SOCKS5 proxy that are not ours (tinyproxy,
microsocks) with and without a login, a captive portal, and a box that opens TLS. `box` is the router
of `in1`, in `in2` run the proxies:

    in1 192.168.1.2 ─┬─ box ── core ─┬─ server   198.51.100.1: the home, at 8443 and 443
    in2 192.168.5.2 ─┘               └─ outside  198.51.100.129: the peer
"""
import http.server
import os
import re
import shutil
import signal
import socketserver
import ssl
import subprocess
import sys
import tempfile
import time

import kernel_nat
from serve import BODKIN

ROUTER = "192.168.1.1"
PROXY = "192.168.5.2"
PASSWORD = "correct-horse"
BROKEN = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error", "bodkin: assertion")
TINYPROXY = """Port {port}
Listen {proxy}
Timeout 30
MaxClients 20
LogLevel Critical
{more}
"""


class Network:
    def __init__(self, scene):
        self.scene = scene
        self.dir = tempfile.mkdtemp(prefix="bodkin-test-")
        self.files = 0

    def rules(self, text):
        """What `box` does to in1's packets from now on; replaces the last rules."""
        kernel_nat.do(["ip", "netns", "exec", self.scene.ns("box"), "nft", "-f", "-"],
                      "table ip hostile\ndelete table ip hostile\ntable ip hostile {\n" + text + "}\n")

    def forward(self, *rules):
        self.rules("chain f { type filter hook forward priority 1\n" +
                   "".join(f'iifname "in1" {r}\n' for r in rules) + "}\n")

    def start(self, host, words, **env):
        """A program in a host; its output and errors go to files."""
        self.files += 1
        path = os.path.join(self.dir, str(self.files))
        home = os.path.join(self.dir, host)
        os.makedirs(home, exist_ok=True)
        clean = {k: v for k, v in os.environ.items()
                 if not k.startswith(("BODKIN_", "XDG_")) and not k.lower().endswith("_proxy")}
        with open(path, "w") as out:
            p = self.scene.popen(host, words, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 env={**clean, "HOME": home, **env})
        p.path = path
        return p

    def told(self, p):
        with open(p.path) as f:
            return f.read()

    def wait_for(self, p, pattern, seconds=20):
        until = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.told(p))
            if found:
                return found
            assert time.monotonic() < until and p.poll() is None, \
                f"{pattern!r} is not in (status {p.poll()}): {self.told(p)}"
            time.sleep(0.02)

    def ping(self, *options, **env):
        """`bodkin ping` from in1: its exit status and all it said."""
        p = self.start("in1", [BODKIN, "ping", "-c", "2", "-i", "50", *options, self.ticket], **env)
        return self.end(p)

    def end(self, p, seconds=40):
        status = p.wait(seconds)
        text = self.told(p)
        assert PASSWORD not in text, "the password is shown"
        for word in BROKEN:
            assert word not in text, text
        return status, text

    def stop(self, p):
        p.send_signal(signal.SIGTERM)
        p.wait(10)

    def close(self):
        shutil.rmtree(self.dir)


def must(result, status, *sentences):
    got, text = result
    assert got == status, f"status {got}, not {status}: {text}"
    for sentence in sentences:
        assert sentence in text, f"{sentence!r} is not in: {text}"


RELAYED = "relayed, because: "


def only_443(net):
    net.forward("tcp dport 443 accept", "drop")
    must(net.ping(), 0, RELAYED, "the home server was reached at port 443")


def tinyproxy(net, port, more=""):
    path = os.path.join(net.dir, f"tinyproxy-{port}")
    with open(path, "w") as f:
        f.write(TINYPROXY.format(port=port, proxy=PROXY, more=more))
    return net.start("in2", ["tinyproxy", "-d", "-c", path])


def http_proxy(net):
    net.forward(f"ip daddr {PROXY} accept", "drop")
    url = f"http://{PROXY}:8888"
    p = tinyproxy(net, 8888, "ConnectPort 443")
    wait_listening(net, "in2", 8888)
    must(net.ping("--proxy", url), 0, RELAYED,
         f"the home server was reached through {url} at port 443")
    must(net.ping(HTTPS_PROXY=url), 0, RELAYED, f"through {url}")
    must(net.ping("--json", all_proxy=f"{PROXY}:8888"), 0, f'"way":"through {url} at port 443"')
    net.stop(p)


def http_proxy_login(net):
    p = tinyproxy(net, 8889, f"BasicAuth anna {PASSWORD}\nConnectPort 8443")
    wait_listening(net, "in2", 8889)
    at = f"{PROXY}:8889"
    must(net.ping("--proxy", f"http://anna:{PASSWORD}@{at}"), 0, RELAYED,
         f"the home server was reached through http://{at},")
    must(net.ping("--proxy", f"http://anna:wrong@{at}"), 5,
         f"the proxy {at} refused the user name or the password")
    must(net.ping(https_proxy=at), 5, f"the proxy {at} wants a user name and a password")
    config = os.path.join(net.dir, "in1", ".config", "bodkin", "config")
    with open(config, "w") as f:
        f.write(f"proxy = http://anna:{PASSWORD}@{at}\n")
    must(net.ping(), 0, RELAYED, f"through http://{at}")
    net.stop(p)
    os.unlink(config)


SQUID = """http_port {proxy}:3128
pid_filename none
cache_log {dir}/cache.log
access_log stdio:{dir}/access.log
coredump_dir {dir}
cache deny all
auth_param digest program /usr/lib/squid/digest_file_auth {dir}/passwords
auth_param digest realm bodkin test
auth_param digest children 1
acl known proxy_auth REQUIRED
acl CONNECT method CONNECT
http_access allow CONNECT known
http_access deny all
"""


def http_proxy_digest(net):
    """A wrong password is shown once, not once for each way home."""
    folder = os.path.join(net.dir, "squid")
    os.mkdir(folder)
    with open(os.path.join(folder, "passwords"), "w") as f:
        f.write(f"anna:{PASSWORD}\n")
    with open(os.path.join(folder, "conf"), "w") as f:
        f.write(SQUID.format(proxy=PROXY, dir=folder))
    for path in (net.dir, folder):
        os.chmod(path, 0o777)  # squid is nobody
    p = net.start("in2", ["squid", "-N", "-f", os.path.join(folder, "conf")])
    wait_listening(net, "in2", 3128)
    must(net.ping("--proxy", f"http://anna:{PASSWORD}@{PROXY}:3128"), 0, RELAYED,
         f"the home server was reached through http://{PROXY}:3128")
    must(net.ping("--proxy", f"http://anna:wrong@{PROXY}:3128"), 5,
         f"the proxy {PROXY}:3128 refused the user name or the password")
    p.kill()
    with open(os.path.join(folder, "access.log")) as log:
        assert len(re.findall("TCP_DENIED/407.* anna ", log.read())) == 1


def socks(net):
    p = net.start("in2", ["microsocks", "-i", PROXY, "-p", "1080", "-u", "anna", "-P", PASSWORD])
    wait_listening(net, "in2", 1080)
    must(net.ping("--proxy", f"socks5://anna:{PASSWORD}@{PROXY}"), 0, RELAYED,
         f"the home server was reached through socks5://{PROXY}:1080,")
    must(net.ping("--proxy", f"socks5h://anna:no@{PROXY}"), 5,
         f"the proxy {PROXY}:1080 refused the user name or the password")
    net.stop(p)


def past_the_proxy(net):
    """NO_PROXY, --proxy none, and a proxy of the environment that does not exist here."""
    net.rules("")
    dead = f"http://{PROXY}:9"
    for options, env in (((), {"NO_PROXY": "198.51.100.0/24"}), (("--proxy", "none"), {}), ((), {})):
        status, text = net.ping(*options, https_proxy=dead, **env)
        assert status == 0 and "through" not in text, text
    must(net.ping("--proxy", "https://x:1"), 2, "the proxy in --proxy cannot be used: it is of a kind")
    must(net.ping(ALL_PROXY="socks4://x:1"), 2, "the proxy in ALL_PROXY cannot be used")


def another_address(net):
    """The address of the connection is gone: home is reached from the new one, without waiting for
    the old connection to time out."""
    net.rules("")
    p = net.start("in1", [BODKIN, "listen", "--json", "--home", net.home, "--allow-forward", "localhost:9"])
    net.wait_for(p, '"ticket"')
    kernel_nat.do(["ip", "-n", net.scene.ns("in1"), "-b", "-"],
                  "address del 192.168.1.2/24 dev eth0\naddress add 192.168.1.77/24 dev eth0\n"
                  "route replace default via 192.168.1.1\n")
    net.wait_for(p, '"home-lost".*the network has changed(.|\n)*"home"')
    net.stop(p)


class Portal(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", f"http://{ROUTER}/login?session=4711")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


class Listener(socketserver.ThreadingTCPServer):  # http.server's own asks DNS for its name first
    allow_reuse_address = daemon_threads = True


def serve_portal():
    Listener((ROUTER, 8080), Portal).serve_forever()


def serve_inspector(certificate):
    """Answers TLS with a certificate of its own, whatever is asked for."""
    server = Listener((ROUTER, 8444), Portal)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


def captive_portal(net):
    p = net.start("box", [sys.executable, __file__, "portal"])
    wait_listening(net, "box", 8080)
    pre = 'chain p { type nat hook prerouting priority -101\n' \
          'iifname "in1" tcp dport 80 dnat to 192.168.1.1:8080\n}\n'
    for refusal in ("drop", "reject with tcp reset"):
        net.rules(pre + 'chain f { type filter hook forward priority 1\n'
                  f'iifname "in1" meta l4proto tcp {refusal}\niifname "in1" drop\n}}\n')
        ping = net.start("in1", [BODKIN, "ping", "-c", "2", "-i", "50", net.ticket])
        net.wait_for(ping, "bodkin ping: this network wants you to log in first: open "
                           "http://192.168.1.1/login in a browser")
        assert ping.poll() is None, "it gave up"
        net.rules("")  # the login
        must(net.end(ping), 0, " replies, ")
    net.stop(p)


def make_inspector(net):
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=net.dir)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "ca.key", "-out", "ca.pem",
            "-subj", "/O=Umbra/CN=Umbra\x07 Inspection CA", "-days", "2")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "leaf.key", "-out", "leaf.csr", "-subj",
            "/CN=198.51.100.1")
    with open(os.path.join(net.dir, "san"), "w") as f:
        f.write("subjectAltName=IP:198.51.100.1\n")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", "leaf.pem", "-days", "2", "-extfile", "san")
    with open(os.path.join(net.dir, "both.pem"), "w") as out:
        for name in ("leaf.pem", "leaf.key"):
            with open(os.path.join(net.dir, name)) as f:
                out.write(f.read())
    return os.path.join(net.dir, "both.pem")


def inspected(net):
    p = net.start("box", [sys.executable, __file__, "inspector", make_inspector(net)])
    wait_listening(net, "box", 8444)
    net.rules('chain p { type nat hook prerouting priority -101\n'
              'iifname "in1" tcp dport { 443, 8443 } dnat to 192.168.1.1:8444\n}\n')
    must(net.ping(), 5, 'TLS is probably inspected on the way: the certificate shown was issued by '
                        '"Umbra? Inspection CA"')
    unpinned = "https://198.51.100.1:8443"
    # A key, no ticket: the home has no pin then and the system's authorities judge.
    words = [BODKIN, "ping", "--home", unpinned, net.key]
    must(net.end(net.start("in1", words)), 5,
         'issued by "Umbra? Inspection CA", whom this machine does not trust')
    net.stop(p)
    net.rules("")


def wait_listening(net, host, port):
    until = time.monotonic() + 20
    while f":{port} " not in net.scene.run(host, ["ss", "-ltn"], capture_output=True, text=True).stdout:
        assert time.monotonic() < until, f"nobody listens on {port}"
        time.sleep(0.05)


def begin(net):
    server = net.start("server", [BODKIN, "serve", "--https", "8443", "--name", kernel_nat.SERVER[0],
                                  "--workers", "1", "--state", os.path.join(net.dir, "state")])
    home = net.wait_for(server, r"home: (https://\S+)")[1]
    kernel_nat.do(["ip", "netns", "exec", net.scene.ns("server"), "nft", "-f", "-"],
                  "table ip n { chain p { type nat hook prerouting priority -100\n"
                  "tcp dport 443 redirect to :8443\n}\n}\n")
    listener = net.start("outside", [BODKIN, "listen", "--home", home, "--allow-forward", "localhost:9"])
    net.home = home
    net.ticket = net.wait_for(listener, r"\bbodkin1[a-z2-7]+")[0]
    net.key = net.end(net.start("outside", [BODKIN, "id"]))[1].strip()


def main():
    if sys.argv[1:2] == ["portal"]:
        serve_portal()
    if sys.argv[1:2] == ["inspector"]:
        serve_inspector(sys.argv[2])
    kernel_nat.need()
    cases = [only_443, captive_portal, inspected, past_the_proxy]
    if shutil.which("tinyproxy"):
        cases += [http_proxy, http_proxy_login]
    else:
        print("not tested: HTTP proxies, there is no tinyproxy")
    if shutil.which("squid"):
        cases += [http_proxy_digest]
    else:
        print("not tested: Digest, there is no squid")
    if shutil.which("microsocks"):
        cases += [socks]
    else:
        print("not tested: SOCKS5, there is no microsocks")
    cases += [another_address]
    with kernel_nat.Scene("prc") as scene:
        net = Network(scene)
        try:
            begin(net)
            for case in cases:
                since = time.monotonic()
                case(net)
                print(f"{case.__name__}: ok, {time.monotonic() - since:.1f} s", flush=True)
        finally:
            net.close()


if __name__ == "__main__":
    main()
