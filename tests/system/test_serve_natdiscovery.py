#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Other people's RFC 5780 clients against `bodkin serve`, behind real Linux NATs: coturn's
turnutils_natdiscovery and, where it is installed (or in $STUNCLIENT), stunclient of stuntman. What they find out must be
what the NAT is (tests/system/kernel_nat.py).

    test_serve_natdiscovery.py [--rows] [KIND...]    --rows: more, as a table, for `make interop`

The server is started without any option about addresses: it finds the two by itself. Kind "admr"
(address-dependent mapping) is left out for turnutils_natdiscovery: its third test goes to the OTHER-
ADDRESS of the second answer, not of the first, so it calls such a NAT address- and port-dependent.
"""
import json
import os
import re
import shutil
import sys
import tempfile
import threading
import time

import kernel_nat

BODKIN = os.environ.get("BODKIN", "bodkin")
SERVER = kernel_nat.SERVER[0]
WORDS = {"EI": "endpoint independent", "AD": "address dependent", "APD": "address and port dependent"}
rows = "--rows" in sys.argv
kinds = [word for word in sys.argv[1:] if not word.startswith("-")] or ["prc", "sym", "arc", "fullcone"]
failed = []
lock = threading.Lock()


def tell(kind, tool, what, want, text):
    """One verdict: `text` is what the tool said, in small letters, and must have `want` in it."""
    good = want in text
    with lock:
        if not good:
            failed.append(f"{kind}: {tool}")
        said = what + ": " + (want if good else f"FAILED, wanted {want!r} in {text!r}")
        print(f"STUN: {tool}, {kind}".ljust(53) + said if rows else f"{kind}: {tool}: {said}", flush=True)


def ask(scene, argv):
    done = scene.run("in1", argv, capture_output=True, text=True, timeout=60)
    return " ".join((done.stdout + done.stderr).lower().split())


def with_turnutils(scene, kind):
    tool = "turnutils_natdiscovery"
    if shutil.which(tool) is None or kind == "admr":
        return
    mapping = ask(scene, [tool, "-m", SERVER])
    tell(kind, tool + " -m", "mapping", f"nat with {WORDS[scene.traits['mapping']]} mapping!", mapping)
    filtering = ask(scene, [tool, "-f", SERVER])
    tell(kind, tool + " -f", "filtering", f"nat with {WORDS[scene.traits['filtering']]} filtering!", filtering)
    if rows:
        padded = ask(scene, [tool, "-m", "-P", SERVER])
        tell(kind, tool + " -m -P", "padding", "no alg: mapped == xor-mapped", padded)
        lived = ask(scene, [tool, "-t", "-T", "1", SERVER])
        count = len(re.findall("rfc 5780 response", lived))
        tell(kind, tool + " -t", "lifetime", "2 answers", f"{count} answers")


def with_stunclient(scene, kind):
    tool = os.environ.get("STUNCLIENT") or shutil.which("stunclient")
    if tool is None or not rows:
        return
    said = ask(scene, [tool, "--mode", "full", SERVER])
    for what in ("mapping", "filtering"):
        tell(kind, "stunclient --mode full", what, f"{WORDS[scene.traits[what]]} {what}", said)


def with_ours(scene, kind):
    """`bodkin nat` must agree with the others, which is to say with the truth."""
    done = scene.run("in1", [BODKIN, "nat", "--server", SERVER, "--json"], capture_output=True, text=True,
                     timeout=60)
    found = json.loads(done.stdout)["attributes"]
    for what in ("mapping", "filtering"):
        tell(kind, "bodkin nat", what, WORDS[scene.traits[what]], str(found[what]["value"]).replace("-", " "))


def start_server(scene, folder):
    log = os.path.join(folder, "log")
    with open(log, "w") as out:
        scene.popen("server", [BODKIN, "serve", "--https", "8443", "--name", SERVER, "--workers", "2",
                               "--state", folder], stdout=out, stderr=out)
    until = time.monotonic() + 30
    while True:
        with open(log) as text:
            said = text.read()
        if "home: " in said:
            break
        assert time.monotonic() < until, f"the server did not start: {said}"
        time.sleep(0.05)
    assert "nat_discovery ipv4=complete" in said, said


def one(kind):
    folder = tempfile.mkdtemp(prefix="bodkin-test-")
    try:
        with kernel_nat.Scene(kind, tag=f"bkd{kind.replace('+', '')}") as scene:
            start_server(scene, folder)
            with_ours(scene, kind)
            with_turnutils(scene, kind)
            with_stunclient(scene, kind)
    except Exception as error:  # a scene that breaks is a scene that fails
        with lock:
            failed.append(kind)
            print(f"{kind}: FAILED: {type(error).__name__}: {error}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if shutil.which("turnutils_natdiscovery") is None and not rows:
    print("skipped: no turnutils_natdiscovery (package coturn)")
    sys.exit(77)
kernel_nat.need()
threads = [threading.Thread(target=one, args=(kind,)) for kind in kinds]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(1 if failed else 0)
