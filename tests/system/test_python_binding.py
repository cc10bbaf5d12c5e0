#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Python binding: its declarations are those of the headers, its errors are exceptions, and its
example connects two agents over loopback and moves data."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

SOURCE = os.environ["SOURCE_DIR"]
BUILD = os.path.dirname(os.environ["BODKIN"])
LIBRARY = os.path.join(BUILD, "bindings", "python", "libbodkin-core.so")
BINDING = os.path.join(SOURCE, "bindings", "python")
CC = shutil.which("gcc") or shutil.which("cc")


def sanitizers():
    """What must be loaded before Python for a library built with sanitizers; None: cannot be."""
    needed = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True,
                            check=True).stdout
    wanted = re.findall(r"\[(lib(?:asan|ubsan|tsan)\.so)", needed)
    symbols = subprocess.run(["nm", "-D", "-u", LIBRARY], capture_output=True, text=True,
                             check=True).stdout
    if "libtsan.so" in wanted or ("__asan_" in symbols and "libasan.so" not in wanted):
        return None  # clang has its sanitizers in the program; Python is not built with them
    return [subprocess.run(["gcc", "-print-file-name=" + name], capture_output=True, text=True,
                           check=True).stdout.strip() for name in wanted]


def compare_with_headers(ffi):
    """The compiler must agree with every size, offset and constant."""
    lines = ["#include <bodkin/ice_io.h>", "#include <stddef.h>"]
    structs = enums = 0
    for name in ffi.list_types()[1]:
        kind = ffi.typeof("struct " + name)
        if kind.fields is None:
            continue  # opaque
        structs += 1
        lines.append(f"_Static_assert(sizeof(struct {name}) == {ffi.sizeof(kind)}, \"{name}\");")
        for field, about in kind.fields:
            lines.append(f"_Static_assert(offsetof(struct {name}, {field}) == {about.offset} && "
                         f"sizeof(((struct {name} *)0)->{field}) == {ffi.sizeof(about.type)}, "
                         f"\"{name}.{field}\");")
    for name in re.findall(r"enum (\w+) \{", open(os.path.join(BINDING, "bodkin/_ice.py")).read()):
        for constant, value in ffi.typeof("enum " + name).relements.items():
            enums += 1
            lines.append(f"_Static_assert({constant} == {value}, \"{constant}\");")
    assert structs >= 14 and enums > 50, (structs, enums)
    with tempfile.NamedTemporaryFile("w", suffix=".c") as unit:
        unit.write("\n".join(lines) + "\n")
        unit.flush()
        subprocess.run([CC, "-std=c17", "-fsyntax-only", "-I" + os.path.join(SOURCE, "include"),
                        unit.name], check=True)


def calls_fail_well():
    import bodkin
    from bodkin import Ice

    def fails(kind, call, *args, **options):
        try:
            call(*args, **options)
        except kind as error:
            return str(error)
        raise AssertionError(f"{call} did not raise {kind}")

    assert fails(ValueError, Ice, True, streams=0) == "streams"
    assert fails(AttributeError, Ice, True, colour="blue")
    assert fails(ValueError, Ice, True, servers=["http://example.org"]) == "servers"
    ice = Ice(True, servers=[("turn:127.0.0.1:9", "user", "password")], gather_us=200000)
    fails(bodkin.BodkinError, ice.send, b"too early")
    fails(bodkin.BodkinError, ice.set_remote, "a=ice-ufrag:x")
    fails(bodkin.BodkinError, ice.add_base, ("not an address", 1))
    ice.add_base(("127.0.0.1", 4000), now=1.0)
    fails(bodkin.BodkinError, ice.add_base, ("127.0.0.1", 4000), now=1.0)
    ice.gather(now=1.0)
    sent = list(ice.datagrams(now=1.0))
    assert sent and sent[0][1:] == (("127.0.0.1", 4000), ("127.0.0.1", 9)), sent
    assert "candidate" in [event.kind for event in ice.events()]
    assert ice.wait(now=1.0) is not None
    assert ice.receive(b"noise", ("127.0.0.1", 4000), ("127.0.0.1", 5), now=1.0) is None
    fails(bodkin.NotOurs, ice.receive, b"noise", ("127.0.0.1", 4000), ("127.0.0.1", 5), True, 1.0)
    now = 1.0
    while "gathered" not in [event.kind for event in ice.events()]:  # the server is silent
        now += ice.wait(now)
        assert now < 60
        ice.advance(now)
        list(ice.datagrams(now))
    assert ice.state == "idle" and ice.explain()
    assert "a=end-of-candidates" in ice.describe()


def inside():
    sys.path.insert(0, BINDING)
    from bodkin._ice import ffi
    compare_with_headers(ffi)
    calls_fail_well()


def main():
    if "--inside" in sys.argv:
        return inside()
    try:
        import cffi  # noqa: F401
    except ImportError:
        print("skipped: no cffi for", sys.executable)
        return 77
    if not os.path.exists(LIBRARY) or not CC:
        print("skipped:", LIBRARY, "is not built, or there is no C compiler")
        return 77
    before = sanitizers()
    if before is None:
        print("skipped: Python cannot load what was built with these sanitizers")
        return 77
    env = dict(os.environ, BODKIN_LIBRARY=LIBRARY, PYTHONPATH=BINDING, PYTHONDONTWRITEBYTECODE="1",
               ASAN_OPTIONS="detect_leaks=0")  # Python's own
    if before:
        env["LD_PRELOAD"] = " ".join(before)
    subprocess.run([sys.executable, __file__, "--inside"], env=env, check=True, timeout=120)
    example = os.path.join(BINDING, "examples", "asyncio_ice.py")
    done = subprocess.run([sys.executable, example], env=env, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0 and done.stdout == "hello over a path that was proven\n", done
    assert len(open(example).readlines()) < 50
    print("two agents on asyncio connected: ok")
    return 0


sys.exit(main())
