#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The NAT model against Linux: packet scripts (nat_scripts/) run through every kind of Linux NAT
(kernel_nat.py), through the model in virtual time, and through the model in `bodkin lab`; every
verdict and every translated endpoint must be the same, but for what is drawn at random.

A random draw may hit the old port by chance, so a kind that draws may have one more try. The table
of docs/nat-equivalence.md comes from here: UPDATE=1 writes it, otherwise it must be right.

KINDS="prc sym" and SCRIPTS="clash tcp" restrict the run; VERBOSE=1 shows the records; LONG=1 runs
every kind in the lab, too, not only one of each sort.
Exit 77: no namespaces, nft or TUN devices here.
"""
import glob
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DOC = os.path.join(HERE, "../../docs/nat-equivalence.md")
sys.path.insert(0, HERE)
import kernel_nat  # noqa: E402
import nat_boxes  # noqa: E402
import nat_script  # noqa: E402

TIMERS = {"udp_timeout": 2, "udp_stream": 5, "icmp_timeout": 2, "syn_timeout": 2}
LATE = 0.35  # seconds that a wait may be too long before its script does not count
TRIES = 3
NOT_IN_LAB = ()
LAB_KINDS = ("prc", "prc+accept", "prc+reject", "sym", "block", "seq", "arc", "fullcone+hp", "cgnsym")
LAB_TIMERS = ("prc", "prc+accept", "sym", "block")
NO_TIMERS = ("arc", "fullcone", "fixed+accept")  # docs/nat-equivalence.md says why


def scripts():
    wanted = os.environ.get("SCRIPTS", "").split()
    found = {}
    for path in sorted(glob.glob(os.path.join(HERE, "nat_scripts", "*.txt"))):
        name = os.path.basename(path)[:-4]
        if not wanted or name in wanted:
            with open(path, encoding="ascii") as f:
                found[name] = nat_script.parse(f.read())
    return found


def kinds():
    wanted = os.environ.get("KINDS", "").split()
    known = [k for k, (inner, outer, _) in kernel_nat.KINDS.items()
             if inner in nat_boxes.MODELS and (outer is None or outer in nat_boxes.MODELS)]
    return [k for k in known if not wanted or k in wanted]


def run(box, kind, steps):
    """The record, run again while the machine was too slow for the timers."""
    for _ in range(TRIES):
        box.reset()
        box.late = 0
        script = nat_script.Script(box, kernel_nat.KINDS[kind][2], kernel_nat.POOL)
        lines = script.run(steps)
        if box.late < LATE:
            break
    return lines


def run_all(make, kind, wanted, out):
    """Every script through one box; `out` gets the records by script."""
    box = make(kind)
    try:
        for name, steps in wanted.items():
            out[name] = run(box, kind, steps)
    finally:
        box.close()


def linux(kind):
    return nat_boxes.KernelBox(kind, **TIMERS)


def model(kind):
    return nat_boxes.ModelBox(kind, **TIMERS)


def in_lab(kind, wanted, out):
    """The same in `bodkin lab`, where this program runs again as a driver."""
    with tempfile.TemporaryDirectory(prefix="bodkin-test-") as work:
        os.chmod(work, 0o755)
        names = list(wanted)
        text = nat_boxes.lab_file(kind, work, resets_of(names),
                                  [sys.executable, os.path.abspath(__file__), "drive", work, kind,
                                   *names], **TIMERS)
        path = os.path.join(work, "box.lab")
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        env = {**os.environ, "XDG_RUNTIME_DIR": work}
        done = subprocess.run([os.environ["BODKIN"], "lab", "run", path], capture_output=True,
                              text=True, env=env, timeout=300)
        try:
            with open(os.path.join(work, "records.json"), encoding="ascii") as f:
                out.update(json.load(f))
        except OSError:
            raise RuntimeError(f"the lab of {kind}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def resets_of(names):
    return len(names) + (TRIES - 1 if "timers" in names else 0)


def drive(work, kind, names):
    """Inside the lab."""
    everything = scripts()
    out = {}
    run_all(lambda _: nat_boxes.LabBox(work, resets_of(names)), kind, {n: everything[n] for n in names}, out)
    with open(os.path.join(work, "records.json.new"), "w", encoding="ascii") as f:
        json.dump(out, f)
    os.rename(os.path.join(work, "records.json.new"), os.path.join(work, "records.json"))


def differences(a, b):
    return [(x, y) for x, y in zip(a, b) if x != y]


class Comparison:
    """Of one kind: the records of Linux, the model and the lab."""

    def __init__(self, kind, wanted):
        self.kind, self.wanted = kind, wanted
        self.records = {"linux": {}, "model": {}, "lab": {}}

    def in_lab(self, name):
        """Does this script run in the lab?"""
        if name == "timers":
            return self.kind in LAB_TIMERS or "LONG" in os.environ
        return name not in NOT_IN_LAB and (self.kind in LAB_KINDS or "LONG" in os.environ)

    def quick(self):
        """All scripts that do not wait; those that draw may differ by chance once."""
        wanted = {n: s for n, s in self.wanted.items() if n != "timers"}
        for_lab = {n: s for n, s in wanted.items() if self.in_lab(n)}
        for _ in range(TRIES):
            for name, make in (("linux", linux), ("model", model)):
                run_all(make, self.kind, wanted, self.records[name])
            if for_lab:
                in_lab(self.kind, for_lab, self.records["lab"])
            if not self.found(wanted):
                return

    def slow(self):
        wanted = {n: s for n, s in self.wanted.items() if n == "timers"}
        if not wanted or self.kind.startswith(NO_TIMERS):
            return
        for _ in range(TRIES):
            run_all(model, self.kind, wanted, self.records["model"])
            work = [threading.Thread(target=run_all,
                                     args=(linux, self.kind, wanted, self.records["linux"]))]
            if self.in_lab("timers"):
                work.append(threading.Thread(target=in_lab,
                                             args=(self.kind, wanted, self.records["lab"])))
            for t in work:
                t.start()
            for t in work:
                t.join()
            if not self.found(wanted):
                return

    def found(self, wanted=None):
        """[(script, who, what Linux did, what the other one did)]"""
        found = []
        for name in wanted or self.wanted:
            expected = self.records["linux"].get(name)
            if expected is None and name == "timers" and self.kind.startswith(NO_TIMERS):
                continue
            if expected is None:
                found.append((name, "linux", "no record", ""))
                continue
            for who in ("model", "lab"):
                if name in self.records[who]:
                    found += [(name, who, x, y)
                              for x, y in differences(expected, self.records[who][name])]
                elif who == "model" or self.in_lab(name):
                    found.append((name, who, "no record", ""))
        return found

    def cell(self, name):
        """For the table: how many lines agree, of how many."""
        lines = self.records["linux"].get(name, [])
        bad = len({x for n, _, x, _ in self.found() if n == name})
        if not lines:
            return "-"
        return f"{len(lines)}" if not bad else f"**{len(lines) - bad} of {len(lines)}**"


def table(compared, names):
    head = "| kind | " + " | ".join(names) + " |\n|---|" + "---|" * len(names)
    rows = [f"| {c.kind} | " + " | ".join(c.cell(n) for n in names) + " |" for c in compared]
    return "\n".join([head, *rows]) + "\n"


def check_doc(text):
    with open(DOC, encoding="utf-8") as f:
        doc = f.read()
    pattern = re.compile(r"(<!-- table -->\n)(.*?)(<!-- end -->)", re.S)
    new = pattern.sub(lambda m: m.group(1) + text + m.group(3), doc)
    if os.environ.get("UPDATE"):
        with open(DOC, "w", encoding="utf-8") as f:
            f.write(new)
        return True
    return new == doc


def main():
    if sys.argv[1:2] == ["drive"]:
        drive(sys.argv[2], sys.argv[3], sys.argv[4:])
        return 0
    kernel_nat.need()
    wanted = scripts()
    compared = [Comparison(kind, wanted) for kind in kinds()]
    try:
        linux("prc").close()
    except kernel_nat.Unable as e:
        print(f"skipped: {e}")
        return 77
    begin = time.monotonic()
    waiting = [threading.Thread(target=c.slow) for c in compared]
    for t in waiting:
        t.start()
    for c in compared:
        c.quick()
    for t in waiting:
        t.join()
    bad = lines = 0
    for c in compared:
        lines += sum(len(r) for r in c.records["linux"].values())
        for name, who, expected, got in c.found():
            bad += 1
            print(f"FAIL  {c.kind}, {name}: {expected}\n      {who}: {got}")
        if os.environ.get("VERBOSE"):
            for name, record in c.records["linux"].items():
                print(f"      {c.kind}, {name}\n" + "\n".join("      " + r for r in record))
    whole = not os.environ.get("KINDS") and not os.environ.get("SCRIPTS")
    if whole and not check_doc(table(compared, list(wanted))):
        print("FAIL  docs/nat-equivalence.md has another table: run this with UPDATE=1")
        bad += 1
    print(f"{'FAIL' if bad else 'ok'}    {len(compared)} kinds, {lines} lines, {bad} differences, "
          f"{time.monotonic() - begin:.1f} s, Linux {os.uname().release}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
