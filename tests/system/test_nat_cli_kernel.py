#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin nat` behind real Linux NATs of every kind that nftables builds: what it says must be what
the rules do. Names of kinds as arguments, or `all`; without: those that differ most."""
import json
import os
import subprocess
import sys
import tempfile

import kernel_nat
from serve import BODKIN, run

USUAL = ["fw", "prc", "prc+accept", "poolp", "symblk", "eimr", "admr", "seq", "arc", "fullcone+hp",
         "noudp", "cgn"]
DEPENDENCE = {"EI": "endpoint-independent", "AD": "address-dependent",
              "APD": "address-and-port-dependent"}
# A hash of the inside endpoint looks random from inside: every socket has another one.
PORTS = {"preserve": "preserving", "random": "random", "hashed": "random",
         "sequential": "sequential"}


def expectations(traits):
    """What the report must say. Left out: what nobody can see from inside this kind."""
    if traits["udp_blocked"]:
        return {"udp": "blocked"}
    expected = {"udp": "open", "translated": traits["translated"],
                "filtering": DEPENDENCE[traits["filtering"]]}
    if not traits["translated"]:
        return expected
    expected["mapping"] = DEPENDENCE[traits["mapping"]]
    expected["tcp-mapping"] = DEPENDENCE[traits["tcp_mapping"]]
    expected["ports"] = PORTS[traits["ports"]]
    if traits["mapping"] == "EI":
        expected["inbound-first"] = traits["inbound_first"]
    # A host drops packets that carry its own address as their source, and behind two NATs the
    # outer one may return what the inner one would not.
    if traits["mapping"] == "EI" and traits["hairpin"] != "internal" and traits["nats"] == 1:
        expected["hairpin"] = traits["hairpin"]
    # Linux chooses from a pool by both ends: sockets that ask one server see one address.
    if traits["addresses"] > 1 and traits["paired"]:
        expected["pooling"] = True
    return expected


def serve(scene, state):
    addresses = [word for a in kernel_nat.SERVER for word in ("--stun-address", a)]
    server = scene.popen("server", [BODKIN, "serve", *addresses, "--workers", "1", "--log-level",
                                    "warn", "--state", state], stdout=subprocess.PIPE, text=True)
    home = server.stdout.readline().strip()
    assert home.startswith("home: "), home
    return home


def differences(kind, expected, report):
    for name, value in expected.items():
        a = report["attributes"][name]
        if a["value"] != value:
            yield f"{kind}: {name} is {a['value']!r} ({a.get('reason', a['status'])}), not {value!r}"


def behind(kind):
    with tempfile.TemporaryDirectory() as state, kernel_nat.Scene(kind) as scene:
        home = serve(scene, state)
        done = scene.run("in1", [BODKIN, "nat", "--home", home, "--json"], capture_output=True,
                         text=True, timeout=60, env={**os.environ, "HOME": state})
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        wrong = list(differences(kind, expectations(scene.traits), report))
        if wrong and os.environ.get("VERBOSE"):
            print(json.dumps(report, indent=1))
        assert not wrong, "; ".join(wrong)


def test_of(kind):
    def test():
        behind(kind)
    test.__name__ = f"behind_{kind}"
    return test


if __name__ == "__main__":
    kernel_nat.need()
    kinds = sys.argv[1:] or USUAL
    run([test_of(kind) for kind in (kernel_nat.KINDS if kinds == ["all"] else kinds)])
