#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The shared core exports what its headers declare with BK_API, and nothing else; every name begins
with bk_. (docs/api.md)"""

import os
import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(os.environ["SOURCE_DIR"])
LIBRARY = pathlib.Path(os.environ["BODKIN"]).parent / "bindings/python/libbodkin-core.so"
NOT_CORE = {"peer.h", "run.h"}  # these are libbodkin's


def declared(header):
    """Names of functions and constants after BK_API."""
    text = re.sub(r"/\*.*?\*/", "", header.read_text(), flags=re.S)
    text = re.sub(r"^\s*#.*$", "", text, flags=re.M)
    for declaration in re.findall(r"\bBK_API\b([^;{]*)[;{]", text):
        yield declaration.split("(")[0].split()[-1].lstrip("*")


def main():
    if not LIBRARY.exists():
        print("skipped:", LIBRARY, "is not built")
        return 77
    lines = subprocess.run(["nm", "-D", "--defined-only", str(LIBRARY)], check=True,
                           capture_output=True, text=True).stdout.splitlines()
    exported = {line.split()[2] for line in lines}
    exported = {name for name in exported if not name.startswith("_")}  # the tools' own
    promised = {name for header in (SOURCE / "include/bodkin").glob("*.h")
                if header.name not in NOT_CORE for name in declared(header)}
    assert len(promised) > 100 and "bk_ice_new" in promised and "bk_ice_config_default" in promised
    for name in sorted(promised - exported):
        print("declared, not exported:", name)
    for name in sorted(exported - promised):
        print("exported, not declared:", name)
    for name in sorted(n for n in promised if not n.startswith("bk_")):
        print("not bk_:", name)
    print(f"{len(promised)} names promised, {len(exported)} exported")
    return 0 if promised == exported and all(n.startswith("bk_") for n in promised) else 1


sys.exit(main())
