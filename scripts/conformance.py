#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes docs/conformance.md: every MUST of the standards under docs/conformance/, and where it is
obeyed. scripts/conformance.py writes the page; --check says whether it is up to date.

A line of docs/conformance/rfcNNNN.txt is `section | requirement | how`, where how is one or more,
joined by " + ", of

    path/to/file.c [word]   obeyed where that file's comments cite the section; of several citations
                            the one closest to `word` is meant
    departs: reason         not obeyed, on purpose
    application: reason     nothing for this library to do: the user's signalling or program
    none: reason            does not arise here
    missing: reason         not obeyed yet

The line number is looked up each time, so a citation that vanished is an error. A citation is
"RFC NNNN section X" in a comment, or "section X" where the comment, or the file's first citation,
names the RFC. Lines that begin with # are remarks; the first one is the standard's title."""

import os
import re
import sys

DATA = "docs/conformance"
PAGE = "docs/conformance.md"
NEAR = 40  # lines around a citation in which its word must be
WORDS = ("departs", "application", "none", "missing")

CITATION = re.compile(
    r"(?:RFC (\d{3,5}),? )?[Ss]ections? "
    r"([0-9A-Z][0-9A-Za-z.]*(?:(?:,? and|,? or| to|,) [0-9][0-9.]*)*)")
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', re.S)


def comments(text):
    """(line, text) of every comment; strings are skipped, the stars at line beginnings dropped."""
    for match in COMMENT.finditer(text):
        if match.group().startswith('"'):
            continue
        line = text.count("\n", 0, match.start()) + 1
        yield line, re.sub(r"\n[ \t]*\*?(?!/)", "\n", match.group())


def citations(path):
    """(rfc, section, line) of every citation in one file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    main = re.search(r"RFC (\d{3,5})", text)
    main = main.group(1) if main else None
    found = []
    for first, body in comments(text):
        rfc = main
        flat = re.sub(r"\s", " ", body)
        flat = re.sub(r" {2,}", lambda m: " " + "\0" * (len(m.group()) - 1), flat)
        positions = [i for i, c in enumerate(flat) if c != "\0"]
        for match in CITATION.finditer(flat.replace("\0", "")):
            rfc = match.group(1) or rfc
            line = first + body.count("\n", 0, positions[match.start(2)])
            for section in re.split(r",? and |,? or | to |, ", match.group(2)):
                found.append((rfc, section.rstrip("."), line))
    return found


class Sources:
    """Citations of files, read once each."""

    def __init__(self):
        self.files = {}

    def lines_of(self, path, rfc, section):
        if path not in self.files:
            self.files[path] = citations(path)
        return [line for r, s, line in self.files[path] if (r, s) == (rfc, section)]

    def find(self, key, rfc, section):
        """`key` is "path [word]". The line of its citation, or an error text."""
        path, _, word = key.partition(" ")
        if not os.path.isfile(path):
            return None, f"no file {path}"
        lines = self.lines_of(path, rfc, section)
        if not lines:
            return None, f"{path} does not cite RFC {rfc} section {section}"
        if not word:
            return lines[0], None
        with open(path, encoding="utf-8") as file:
            text = file.read().split("\n")
        places = [number for number, content in enumerate(text, 1)
                  if re.search(r"\b%s\b" % re.escape(word), content)]
        near = [(abs(line - place), line) for line in lines for place in places]
        if not near or min(near)[0] > NEAR:
            return None, f"{path}: no {word} near a citation of RFC {rfc} section {section}"
        return min(near)[1], None


def resolve(how, rfc, section, sources):
    """How a requirement is met, as a table cell; its kind; an error text."""
    word, colon, reason = how.partition(": ")
    if colon and word in WORDS:
        label = {"departs": "**departs:** ", "missing": "**missing:** ",
                 "application": "application: ", "none": ""}[word]
        return label + reason, word, None
    cells = []
    for key in how.split(" + "):
        line, error = sources.find(key.strip(), rfc, section)
        if error:
            return "", "error", error
        path = key.split()[0]
        cells.append(f"[`{path}:{line}`](../{path}#L{line})")
    return ", ".join(cells), "obeyed", None


def read_standard(path, sources):
    """(rfc, title, rows, kinds) and the errors of one data file."""
    rfc = re.search(r"rfc(\d+)\.txt$", path).group(1)
    title, rows, kinds, errors = None, [], [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.strip()
            if not line or line.startswith("#"):
                title = title or line.lstrip("# ")
                continue
            parts = [part.strip() for part in line.split(" | ")]
            if len(parts) != 3:
                errors.append(f"{path}:{number}: not `section | requirement | how`")
                continue
            cell, kind, error = resolve(parts[2], rfc, parts[0], sources)
            if error:
                errors.append(f"{path}:{number}: {error}")
            kinds.append(kind)
            rows.append(f"| {parts[0]} | {parts[1]} | {cell} |")
    return (rfc, title, rows, kinds), errors


def page(standards):
    out = ["# Every MUST, and where it is obeyed", "",
           "Made by `scripts/conformance.py` from `docs/conformance/` and the citations in the "
           "code; not edited by hand. Requirements are in our words; line numbers are those of the "
           "citing comments. All citations, also of other standards: [rfc.md](rfc.md).", "",
           "| RFC | | requirements | obeyed | departed from | the application's | do not arise | "
           "missing |", "|---|---|---|---|---|---|---|---|"]
    for rfc, title, _, kinds in standards:
        counts = [kinds.count(k) for k in ("obeyed", "departs", "application", "none", "missing")]
        out.append(f"| [{rfc}](#rfc-{rfc}) | {title} | {len(kinds)} | "
                   + " | ".join(map(str, counts)) + " |")
    for rfc, title, rows, _ in standards:
        out += ["", f"## RFC {rfc}", "", f"{title}.", "", "| section | requirement | where |",
                "|---|---|---|", *rows]
    return "\n".join(out) + "\n"


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    sources, standards, errors = Sources(), [], []
    order = sorted(os.listdir(DATA), key=lambda name: (name != "rfc8445.txt", name))
    for name in order:
        standard, wrong = read_standard(os.path.join(DATA, name), sources)
        standards.append(standard)
        errors += wrong
    for error in errors:
        print(error, file=sys.stderr)
    text = page(standards)
    if "--check" in sys.argv[1:]:
        old = open(PAGE, encoding="utf-8").read() if os.path.isfile(PAGE) else ""
        if old != text:
            print(f"{PAGE} is old: run scripts/conformance.py", file=sys.stderr)
        return 1 if errors or old != text else 0
    if not errors:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text)
    return 1 if errors else 0


sys.exit(main())
