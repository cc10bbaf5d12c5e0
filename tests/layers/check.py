#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The layers hold: usage: check.py includes|symbols|headers SOURCE_DIR [BUILD_DIR]

includes  every #include goes down the layers that CMakeLists.txt declares with bodkin_module();
          modules without I/O include no system header that does I/O, and only the module that
          names an outside library includes its headers
symbols   object files of modules without I/O import no socket, clock, allocator, printf or thread
headers   every header compiles alone: the public ones as C99 and C++17 without extensions, the
          others as C17

Prints one line per breach, and one line at the end. Status 0: none.
BUILD_DIR holds compile_commands.json and the objects; CC, CXX and NM name the tools."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

# No I/O, clock, allocator, threads: the sans-IO promise.
PURE = ["base", "wire", "crypto", "stun", "ice", "turn", "sdp", "agent", "punch", "natcheck",
        "portmap", "box", "relay", "tunnel", "nat"]
# Sans-IO as well, but stands on libraries that allocate.
SANS_IO = PURE + ["peer"]
# Declared by none of the modules above, so that a user of the core needs nothing else.
CORE = ["base", "wire", "crypto", "stun", "ice", "turn", "sdp", "agent", "punch", "natcheck",
        "portmap", "nat"]

FREESTANDING = {"limits.h", "stdbool.h", "stddef.h", "stdint.h", "string.h", "stdalign.h",
                "stdatomic.h"}  # the last: tables that a server's threads share (src/stun/asked.h)

# Which outside library a header belongs to; the names are those after EXTERNAL in CMakeLists.txt.
EXTERNAL = {
    r"nettle/": "nettle",
    r"sodium(\.h|/)": "sodium",
    r"gnutls/": "gnutls",
    r"ngtcp2/": "ngtcp2",
    r"uv(\.h|/)": "uv",
    r"http_parser\.h": "http_parser",
    r"(ini|INIReader)\.h": "inih",
    r"(cjson/)?cJSON\.h": "cjson",
    r"qrencode\.h": "qrencode",
    r"miniupnpc/": "miniupnpc",
    r"bpf/": "bpf",
}

FORBIDDEN = {
    "sockets and files": r"socket(pair)?|bind|connect|listen|accept4?|shutdown|[gs]etsockopt|"
    r"getsockname|getpeername|send(to|msg|mmsg)?|recv(from|msg|mmsg)?|p?read(v|64)?|"
    r"p?write(v|64)?|open(at)?(64)?|creat|close|ioctl|fcntl(64)?|p?poll|p?select|epoll_\w+|pipe2?|"
    r"getaddrinfo|gethostby\w+|getifaddrs|if_nametoindex",
    "clocks": r"clock_gettime|gettimeofday|time|clock|(local|gm)time(_r)?|(nano|u)?sleep|"
    r"clock_nanosleep|timer_\w+|timerfd_\w+",
    "memory": r"malloc|calloc|realloc(array)?|free|aligned_alloc|posix_memalign|memalign|valloc|"
    r"strn?dup|mmap(64)?|munmap|s?brk|alloca",
    "stdio": r"\w*(printf|scanf)\w*|f?puts|f?put(c|char)|f?gets|f?get(c|char)|f(d|re)?open(64)?|"
    r"fclose|fread|fwrite|fflush|fseek|perror|std(in|out|err)|getline|syslog",
    "randomness": r"s?rand(om)?(_r)?|getrandom|getentropy|arc4random\w*",
    "threads, processes, environment": r"pthread_\w+|thrd_\w+|mtx_\w+|fork|vfork|exec\w+|kill|"
    r"raise|signal|sigaction|system|popen|(secure_)?getenv|setenv|atexit",
}
# What libraries below `peer` and `relay` make unavoidable.
TOLERATED = {"peer": {"memory", "randomness"}}

breaches = []


def breach(where, what):
    breaches.append(f"{where}: {what}")


class Module:
    def __init__(self, name, folder, deps, external):
        self.name, self.folder, self.deps, self.external = name, folder, deps, external
        self.below = {name}


def read_modules(source):
    """The modules in CMakeLists.txt, each with all modules below it."""
    modules = {}
    text = re.sub(r"#.*", "", (source / "CMakeLists.txt").read_text())
    for args in re.findall(r"\bbodkin_module\(([^)]*)\)", text):
        words = args.split()
        cut = words.index("EXTERNAL") if "EXTERNAL" in words else len(words)
        m = Module(words[0], words[1], words[2:cut], words[cut + 1 :])
        for dep in m.deps:
            if dep not in modules:
                sys.exit(f"CMakeLists.txt: {m.name} stands on {dep}, which is not declared above it")
            m.below |= modules[dep].below
        modules[m.name] = m
    if not modules:
        sys.exit("CMakeLists.txt: no bodkin_module() found")
    return modules


def owner_of(include, modules):
    """The module a quoted include leads to; None when it is no module's."""
    for m in modules.values():
        short = m.folder[4:] if m.folder.startswith("src/") else m.folder
        if include.startswith(short + "/"):
            return m.name
    return None


# Public headers that are not named after their module.
PUBLIC = {"ice": "agent", "ice_io": "agent", "checker": "ice"}


def public_owner(include, modules):
    """bodkin/turn.h belongs to turn, bodkin/addr.h and its like to base."""
    stem = pathlib.PurePath(include).stem
    owner = PUBLIC.get(stem, stem)
    return owner if owner in modules else "base"


def includes_of(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if found:
            yield number, found.group(1), found.group(2)


def external_of(include):
    for pattern, name in EXTERNAL.items():
        if re.match(pattern, include):
            return name
    return None


def check_include(m, modules, path, where, quote, include):
    if quote == '"':
        owner = owner_of(include, modules)
        if owner is None and not (path.parent / include).exists():
            breach(where, f'"{include}" is in no module')
        elif owner is not None and owner not in m.below:
            breach(where, f"{m.name} does not stand on {owner} (CMakeLists.txt)")
        return
    if include.startswith("bodkin/"):
        owner = public_owner(include, modules)
        if owner not in m.below:
            breach(where, f"{m.name} does not stand on {owner}, whose header <{include}> is")
        return
    library = external_of(include)
    if library is not None:
        seen = m.external
        if m.name not in CORE:
            seen = [e for b in m.below for e in modules[b].external]
        if library not in seen:
            breach(where, f"{m.name} does not name {library} after EXTERNAL (CMakeLists.txt)")
    elif m.name in PURE and include not in FREESTANDING:
        breach(where, f"{m.name} promises no I/O; <{include}> is not among its headers")


def check_includes(source, _build):
    modules = read_modules(source)
    files = 0
    for m in modules.values():
        for path in sorted((source / m.folder).glob("*.[ch]")):
            files += 1
            for number, quote, include in includes_of(path):
                where = f"{path.relative_to(source)}:{number}"
                check_include(m, modules, path, where, quote, include)
    for path in sorted((source / "include/bodkin").glob("*.h")):
        files += 1
        m = modules[public_owner(path.name, modules)]
        for number, quote, include in includes_of(path):
            where = f"{path.relative_to(source)}:{number}"
            if quote == '"' or (not include.startswith("bodkin/") and include not in FREESTANDING):
                breach(where, f"a public header may not include {include}")
            elif include.startswith("bodkin/"):
                check_include(m, modules, path, where, quote, include)
    return f"{files} files"


def symbols_of(obj):
    out = subprocess.run(
        [os.environ.get("NM", "nm"), "-P", str(obj)], capture_output=True, text=True, check=True
    ).stdout
    undefined, defined = set(), set()
    for line in out.splitlines():
        name, kind = line.split()[:2]
        (undefined if kind == "U" else defined).add(name.split("@")[0])
    return undefined, defined


def check_symbols(source, build):
    modules = read_modules(source)
    objects = {}
    for name in SANS_IO:
        if name not in modules:
            continue
        sources = [p for p in (source / modules[name].folder).glob("*.c") if p.name != "main.c"]
        found = sorted(build.glob(f"**/bodkin_m_{name}.dir/**/*.o"))
        built = {o.name[: -len(".o")] for o in found}
        missing = [p.name for p in sources if p.name not in built]
        if missing:
            breach(modules[name].folder, f"not built below {build}: {' '.join(missing)}")
        alive = {p.name for p in sources}
        objects[name] = [(o, *symbols_of(o)) for o in found if o.name[: -len(".o")] in alive]
    ours = {s for parts in objects.values() for _, _, defined in parts for s in defined}
    count = 0
    for name, parts in objects.items():
        for obj, undefined, _ in parts:
            count += 1
            for symbol in sorted(undefined - ours):
                for what, pattern in FORBIDDEN.items():
                    tolerated = what in TOLERATED.get(name, ())
                    if not tolerated and re.fullmatch(f"(__)?({pattern})(_chk)?", symbol):
                        breach(f"{name}/{obj.name}", f"imports {symbol} ({what})")
    return f"{count} objects"


def include_flags(source, build):
    """Where the build finds headers: the -I and -isystem of every compile command."""
    flags = [f"-I{source}/include", f"-I{source}/src", f"-I{source}"]
    database = build / "compile_commands.json"
    commands = json.loads(database.read_text()) if database.exists() else []
    for entry in commands:
        words = shlex.split(entry["command"])
        for i, word in enumerate(words):
            if word.startswith("-I") and len(word) > 2 and word not in flags:
                flags.append(word)
            if word == "-isystem" and f"-I{words[i + 1]}" not in flags:
                flags.append(f"-I{words[i + 1]}")
    return flags


def compile_alone(header, compiler, language, flags):
    suffix = ".c" if language == "c" else ".cpp"
    with tempfile.NamedTemporaryFile("w", suffix=suffix) as unit:
        # Twice: the guard works. The declaration: an empty unit is no C.
        unit.write(f'#include "{header}"\n#include "{header}"\nextern int unit_is_not_empty;\n')
        unit.flush()
        words = shlex.split(compiler) + flags + ["-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
        words += ["-Wno-unused", unit.name]
        done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    lines = done.stderr.splitlines()
    return next((line for line in lines if "error" in line), "failed")


def check_headers(source, build):
    cc, cxx = os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")
    paths = include_flags(source, build)
    count = 0
    for header in sorted((source / "include/bodkin").glob("*.h")):
        count += 1
        ways = [
            (cc, "c", ["-std=c99", "-pedantic-errors"]),
            (cxx, "c++", ["-std=c++17", "-pedantic-errors"]),
        ]
        for compiler, language, flags in ways:
            trouble = compile_alone(header, compiler, language, flags + [f"-I{source}/include"])
            if trouble:
                breach(header.relative_to(source), f"not alone as {flags[0][5:]}: {trouble}")
    for m in read_modules(source).values():
        for header in sorted((source / m.folder).glob("*.h")):
            count += 1
            std = ["-std=c17"] if m.name in SANS_IO else ["-std=c17", "-D_GNU_SOURCE"]
            trouble = compile_alone(header, cc, "c", std + paths)
            if trouble:
                breach(header.relative_to(source), f"not alone as c17: {trouble}")
    return f"{count} headers"


CHECKS = {"includes": check_includes, "symbols": check_symbols, "headers": check_headers}


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in CHECKS:
        sys.exit(__doc__)
    source = pathlib.Path(sys.argv[2]).resolve()
    build = pathlib.Path(sys.argv[3] if len(sys.argv) > 3 else source / "build").resolve()
    looked_at = CHECKS[sys.argv[1]](source, build)
    for line in breaches:
        print(line)
    print(f"layers {sys.argv[1]}: {looked_at}, {len(breaches)} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
