#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The core is small and has no state of its own: compiled with -Os, no object of it has a writable
variable, and a program with ICE, STUN and TURN in it takes no more than 200 KB of them.

A build with sanitizers measures nothing: it is skipped there, and runs in the optimised one."""

import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ["SOURCE_DIR"])
BUILD = pathlib.Path(os.environ["BODKIN"]).parent
CC = shutil.which("gcc") or shutil.which("cc")
MODULES = ["base", "wire", "crypto", "stun", "ice", "turn", "sdp", "agent"]
LIMIT = 200 * 1024
FLAGS = "-std=c17 -Os -ffunction-sections -fdata-sections -fvisibility=hidden".split()
INCLUDES = [f"-I{SOURCE}/include", f"-I{SOURCE}/src", f"-I{SOURCE}"]


def run(*words):
    return subprocess.run([str(w) for w in words], check=True, capture_output=True,
                          text=True).stdout


def pkg_config(what):
    return shlex.split(run("pkg-config", what, "nettle", "hogweed"))


def compile_core(folder):
    def one(module, source):
        out = folder / f"{module}-{source.stem}.o"
        run(CC, *FLAGS, *INCLUDES, *pkg_config("--cflags"), "-c", source, "-o", out)
        return out

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(one, m, s) for m in MODULES
                for s in sorted((SOURCE / "src" / m).glob("*.c"))]
        return [job.result() for job in jobs]


def sections(path):
    """(name, bytes) of what a section header table says."""
    for line in run("objdump", "-h", "-w", path).splitlines():
        words = line.split()
        if len(words) > 2 and words[0].isdigit():
            yield words[1], int(words[2], 16)


def writable(name):
    """.data.rel.ro is made read-only once it is relocated: tables of pointers to constants."""
    return re.match(r"\.(data|bss|tdata|tbss)\b", name) and not name.startswith(".data.rel.ro")


def total(path):
    """Bytes of code, constants and data."""
    text, data, bss = run("size", path).splitlines()[1].split()[:3]
    return int(text) + int(data) + int(bss)


def main():
    cache = (BUILD / "CMakeCache.txt").read_text()
    if re.search(r"^BODKIN_SANITIZE:\w+=.", cache, re.M):
        print("skipped: measured in builds without sanitizers")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        objects = compile_core(folder)
        state = [f"{o.name}: {s} ({n} bytes)" for o in objects for s, n in sections(o)
                 if n > 0 and writable(s)]
        run("ar", "rcs", folder / "core.a", *objects)
        empty = folder / "empty.c"
        empty.write_text("int main(void) { return 0; }\n")
        run(CC, *FLAGS, empty, "-o", folder / "empty", "-Wl,--gc-sections")
        run(CC, *FLAGS, *INCLUDES, SOURCE / "examples/ice-poll.c", folder / "core.a", "-o",
            folder / "client", "-Wl,--gc-sections", "-s", *pkg_config("--libs"))
        example = folder / "example.o"
        run(CC, *FLAGS, *INCLUDES, "-c", SOURCE / "examples/ice-poll.c", "-o", example)
        client = total(folder / "client") - total(folder / "empty") - total(example)
        print(f"{len(objects)} objects, with the TURN server's part: "
              f"{sum(total(o) for o in objects)} bytes of code and constants")
        print(f"an ICE, STUN and TURN client: {client} bytes, of {LIMIT} allowed")
        for line in state:
            print("state of its own:", line)
        assert 50000 < client <= LIMIT, client
        assert not state
    return 0


sys.exit(main())
