#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin nat` behind every kind of NAT that Linux can be (kernel_nat.py), against `bodkin serve` on
two addresses and two ports: each must be named right, in 40 packets at most.

KINDS="prc sym" restricts the run, VERBOSE=1 shows what was found; LONG=1 measures lifetimes, too
(`--deep`, about two minutes), which must be right within a tenth. Exit 77: no namespaces or nft.
"""
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel_nat  # noqa: E402
from serve import BODKIN  # noqa: E402

DEP = {"EI": "endpoint-independent", "AD": "address-dependent",
       "APD": "address-and-port-dependent"}
PORTS = {"preserve": "preserving", "sequential": "sequential", "random": "random",
         "hashed": "random"}  # without the key a hash looks random


FIRST_S, REPLIED_S = 10, 25  # timers with LONG=1
SLOW_MS = 3000  # a machine that took so long may have lost its own packets: once more


DEEP = ("prc", "sym", "cgn") if os.environ.get("LONG") else ()


def look_again(kind):
    """Looks until the result is right, or was wrong without an excuse."""
    traits = kernel_nat.KINDS[kind][2]
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="bodkin-test-") as work:
            report = look(kind, work)
        # A box that hashes gives a socket whose port is taken no mapping at all: one run in 200
        # meets that where it matters.
        excused = report["took_ms"] >= SLOW_MS or traits["ports"] == "hashed"
        if not excused or not faults(traits, report):
            break
    return report


def look(kind, work, deep=False):
    """The report of `bodkin nat --json` behind a NAT of that kind."""
    times = {"udp_timeout": FIRST_S, "udp_stream": REPLIED_S} if deep else {}
    with kernel_nat.Scene(kind, tag=f"bk{os.getpid()}-{kind}", **times) as scene:
        with open(os.path.join(work, "log"), "w+", encoding="utf-8") as log:
            server = scene.popen("server", [
                BODKIN, "serve", "--listen", kernel_nat.SERVER[0], "--listen", kernel_nat.SERVER[1],
                "--https", "443", "--stun", "3478", "--plain-http", "0", "--workers", "1",
                "--state", os.path.join(work, "state")],
                stdout=subprocess.PIPE, stderr=log, text=True)
            home = server.stdout.readline().strip()
            if not home.startswith("home: "):
                log.seek(0)
                raise RuntimeError("no server: " + log.read())
            done = scene.run("in1", [BODKIN, "nat", "--home", home[6:], "--json",
                                     *(["--deep"] if deep else [])],
                             capture_output=True, text=True, timeout=600,
                             env={**os.environ, "HOME": work})
            if done.returncode != 0:
                raise RuntimeError(f"status {done.returncode}: {done.stdout}{done.stderr}")
            return json.loads(done.stdout)


def deep_faults(kind):
    with tempfile.TemporaryDirectory(prefix="bodkin-test-") as work:
        report = look(kind, work, deep=True)
    found = []
    for name, right in (("lifetime-unanswered", FIRST_S), ("lifetime-answered", REPLIED_S)):
        ms = report["attributes"][name]["value"]
        if ms is None or abs(ms - 1000 * right) > 100 * right:
            found.append(f"{name} is {ms} ms, not {1000 * right}")
    for name in ("refresh-outbound", "refresh-inbound"):
        if report["attributes"][name]["value"] is not True:
            found.append(f"{name} is {report['attributes'][name]['value']}")
    return found


def expected(traits):
    """{attribute: the values that are right}; None among them: it need not be known."""
    if traits["udp_blocked"]:
        return {"udp": ["blocked"]}
    translated = traits["translated"]
    want = {
        "udp": ["open"],
        "translated": [translated],
        "mapping": [DEP[traits["mapping"]]],
        "filtering": [DEP[traits["filtering"]]],
        "ports": [PORTS[traits["ports"]]],
        "pooling": [traits["paired"]],
        "tcp-mapping": [DEP[traits["tcp_mapping"]]],
        "alg": [False],
        "port-specific": [False],
        "unsolicited": [None, "reject" if traits["unsolicited"] == "reject" else "drop"],
    }
    if not translated:
        want["pooling"] = want["tcp-mapping"] = [None, True, DEP["EI"]]
        want["ports"] = [None, "preserving"]
        return want
    seen = traits["mapping"] == "EI"  # otherwise nobody can aim at a mapping from inside
    want["hairpin"] = [traits["hairpin"]] if seen else [None, traits["hairpin"]]
    if traits["hairpin"] == "internal":  # a host takes no packet that seems to come from itself
        want["hairpin"].append("none")
    want["inbound-first"] = [traits["inbound_first"]] if seen else [None, False]
    want["double-nat"] = ["no-sign"] if traits["nats"] == 1 else ["yes", "carrier"]
    return want


def faults(traits, report):
    found = []
    for name, right in expected(traits).items():
        attribute = report["attributes"][name]
        value = attribute["value"] if attribute["status"] == "known" else None
        if value not in right:
            reason = attribute.get("reason", "")
            found.append(f"{name} is {value} {reason}, not {' or '.join(map(str, right))}")
    card = report["card"].get("ipv4", {})
    if traits["ports"] == "sequential" and card.get("step") != traits["step"]:
        found.append(f"step is {card.get('step')}, not {traits['step']}")
    narrow = traits["port_max"] - traits["port_min"] < 2048
    if not traits["udp_blocked"] and narrow and traits["ports"] == "random":
        low, high = card.get("port_min", 0), card.get("port_max", 0)
        if not (traits["port_min"] - 1024 <= low <= high <= traits["port_max"] + 1024):
            found.append(f"ports {low} to {high}, not {traits['port_min']} to {traits['port_max']}")
    if report["packets"] > 40:
        found.append(f"{report['packets']} packets")
    return found


def main():
    kernel_nat.need()
    wanted = os.environ.get("KINDS", "").split() or list(kernel_nat.KINDS)
    waiting = queue.Queue()
    for kind in wanted:
        waiting.put(kind)
    results, deep = {}, {}

    def worker():
        while True:
            try:
                kind = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results[kind] = look_again(kind)
                if kind in DEEP:
                    deep[kind] = deep_faults(kind)
            except Exception as e:  # a thread must not swallow it
                results[kind] = e
    threads = [threading.Thread(target=worker) for _ in range(3)]  # a run mostly waits
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    failed = 0
    for kind in wanted:
        traits, report = kernel_nat.KINDS[kind][2], results[kind]
        bad = [str(report)] if isinstance(report, Exception) else faults(traits, report)
        bad += deep.get(kind, [])
        failed += bool(bad)
        for line in bad:
            print(f"FAIL  {kind}: {line}")
        if not bad:
            print(f"ok    {kind}: {report['cone'] or '-'}, {report['packets']} packets, "
                  f"{report['took_ms']} ms")
        if os.environ.get("VERBOSE") and not isinstance(report, Exception):
            print("      " + json.dumps(report["card"]))
            for name, a in report["attributes"].items():
                print(f"      {name}: {a['value'] if a['status'] == 'known' else a}")
    print(f"{len(wanted) - failed} of {len(wanted)} kinds named right")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
