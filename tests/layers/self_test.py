#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py finds each kind of breach in a small tree made here, and none in the tree without."""

import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

CHECK = pathlib.Path(__file__).parent / "check.py"

GOOD = {
    "CMakeLists.txt": "bodkin_module(base src/base)\n"
    "bodkin_module(crypto src/crypto base EXTERNAL nettle)\n"
    "bodkin_module(stun src/stun crypto) # a comment\n"
    "bodkin_module(net src/net base EXTERNAL uv)\n",
    "include/bodkin/err.h": "#ifndef E\n#define E\nenum bk_err { BK_OK };\n#endif\n",
    "include/bodkin/stun.h": "#ifndef S\n#define S\n#include <bodkin/err.h>\n#endif\n",
    "src/base/a.h": "#ifndef A\n#define A\n#include <stddef.h>\nsize_t a(void);\n#endif\n",
    "src/base/a.c": '#include "base/a.h"\nsize_t a(void) { return 1; }\n',
    "src/crypto/c.c": '#include "base/a.h"\nint c(void);\nint c(void) { return (int)a(); }\n',
    "src/stun/s.c": "#include <bodkin/stun.h>\n#include <string.h>\nint s(const char *p);\n"
    "int s(const char *p) { return (int)strlen(p); }\n",
    "src/net/n.c": "#include <sys/socket.h>\nint n(void);\n"
    "int n(void) { return socket(1, 1, 0); }\n",
}

# What is changed, which check must see it, and what its line must say.
BAD = [
    ("src/base/a.c", '#include "crypto/c.h"\nint x;\n', "includes", "base does not stand on crypto"),
    ("src/base/a.c", "#include <bodkin/stun.h>\nint x;\n", "includes", "does not stand on stun"),
    ("src/base/a.c", '#include "lost.h"\nint x;\n', "includes", "is in no module"),
    ("src/stun/s.c", "#include <nettle/md5.h>\nint x;\n", "includes", "does not name nettle"),
    ("src/stun/s.c", "#  include  <stdio.h>\nint x;\n", "includes", "<stdio.h>"),
    ("src/net/n.c", '#include "stun/s.h"\nint x;\n', "includes", "net does not stand on stun"),
    ("include/bodkin/err.h", "#include <time.h>\n", "includes", "may not include time.h"),
    ("src/stun/s.c", "int printf(const char *, ...);\nint s(int x);\n"
     'int s(int x) { return printf("%d", x); }\n', "symbols", "imports printf (stdio)"),
    ("src/base/a.c", "void *malloc(unsigned long);\nvoid *a(unsigned long n);\n"
     "void *a(unsigned long n) { return malloc(n); }\n", "symbols", "imports malloc (memory)"),
    ("src/base/a.c", "long time(long *);\nlong a(void);\nlong a(void) { return time(0); }\n",
     "symbols", "imports time (clocks)"),
    ("src/base/new.c", "int x;\n", "symbols", "not built"),
    ("src/base/a.h", "size_t a(void);\n", "headers", "src/base/a.h"),
    ("src/base/a.h", "struct a { int x; };\n", "headers", "src/base/a.h"),  # no guard
    ("include/bodkin/err.h", "#ifndef E\n#define E\nstruct e { int class; };\n#endif\n", "headers",
     "not alone as c++17"),
    ("include/bodkin/err.h", "#ifndef E\n#define E\nenum e { A, };\nint f(int n, int a[n]);\n"
     "struct s { int x; union { int y; }; };\n#endif\n", "headers", "not alone as c99"),
]


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def build(root):
    cc = shlex.split(os.environ.get("CC", "cc"))
    for path in (root / "src").glob("*/*.c"):
        if path.name == "new.c":
            continue
        out = root / f"build/CMakeFiles/bodkin_m_{path.parent.name}.dir/{path.name}.o"
        out.parent.mkdir(parents=True, exist_ok=True)
        flags = [f"-I{root}/include", f"-I{root}/src", "-fno-builtin", "-c", str(path), "-o"]
        subprocess.run(cc + flags + [str(out)], check=True)


def run(check, root):
    words = [sys.executable, str(CHECK), check, str(root), str(root / "build")]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def main():
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "good"
        write(root, GOOD)
        build(root)
        for check in ("includes", "symbols", "headers"):
            status, text = run(check, root)
            if status != 0 or " 0 breaches" not in text:
                failures += 1
                print(f"the good tree fails {check}:\n{text}")
        for i, (name, text, check, want) in enumerate(BAD):
            root = pathlib.Path(folder) / str(i)
            write(root, {**GOOD, name: text})
            if check == "symbols":
                build(root)
            status, out = run(check, root)
            if status != 1 or want not in out:
                failures += 1
                print(f"{check} misses {name}, wanted '{want}':\n{text}\n{out}")
    print(f"layers self: {len(BAD) + 3} cases, {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
