#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`bodkin ice` with libnice, each offering once: connected, data both ways, a restart by the side
that offered. The whole matrix, with more peers and networks, is `make interop`."""
import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile

import kernel_nat

HERE = os.path.dirname(os.path.abspath(__file__))
ICE = os.path.join(HERE, "..", "interop", "ice")


def main():
    kernel_nat.need()
    if shutil.which("turnserver") is None:
        print("skipped: no turnserver (coturn)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="bodkin-test-") as folder:
        built = subprocess.run([os.path.join(ICE, "build.sh"), folder], capture_output=True, text=True)
        if built.returncode != 0:
            print("skipped:", (built.stdout + built.stderr).strip()[-200:])
            sys.exit(77)
        os.environ["PEERS"] = folder
        sys.path.insert(0, ICE)
        import matrix
        kind = next(k for k in matrix.KINDS if k.name == "libnice")
        options = argparse.Namespace(hold=1, log=folder, trace=True)
        runs = [matrix.Run(kind, offers, "direct", options) for offers in (True, False)]
        asyncio.run(matrix.play_all(runs, 2))
        for r in runs:
            if not r.ok:
                for end in (".log", ".err"):
                    with open(r.log_path() + end, encoding="utf8", errors="replace") as f:
                        print(f.read()[-4000:])
        assert all(r.ok for r in runs)


if __name__ == "__main__":
    main()
