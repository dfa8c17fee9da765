#!/usr/bin/env python3
"""Sources are ASCII, carry the licence line, stay under 800 lines, name no path of a machine, and parse, write and print in one way. Pages keep
to 100 columns."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# Written in two parts, so that this file does not find itself.
MACHINE_PATH = re.compile("(^|[^A-Za-z0-9_.])/(" + "work|farm|" + "root)/")
# One parser with limits and one writer that takes any bytes; one way to stdout and stderr, which never ends a job.
ONE_WAY = (
    (re.compile(r"\bJson::(parse|accept|sax_parse|from_\w+)\b|[.>]dump\(|\bnlohmann::"), "src/base/json.", "JSON is parsed and written by base/json.h"),
    (re.compile(r"\bstd::(cout|cerr|clog|puts|printf|fputs)\b|fmt::print\(|\bf?printf\("), "src/base/", "the program speaks through base/console.h"),
)
SOURCES = (".h", ".cpp", ".cc", ".py", ".sh", ".cmake", ".in", ".js", ".css")


# Written by the program.
REPORTS = re.compile(r"docs/results/(eval-.*/report|compare-.*)\.md$|tests/data/")
WIDEST = 100


def wide_lines(text: str) -> list[int]:
    """Lines of prose that are too long; tables, code and headings may be."""
    wide: list[int] = []
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        code ^= line.lstrip().startswith("```")
        if not code and len(line) > WIDEST and not line.lstrip().startswith(("|", "#", "<", "```")):
            wide.append(number)
    return wide


def main() -> int:
    root = Path(__file__).resolve().parents[2]
    listing = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True)
    problems: list[str] = []
    for name in listing.stdout.splitlines():
        path = root / name
        if not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", errors="replace")
        if not text and path.name != "__init__.py":  # a write that was cut short leaves such a file
            problems.append(f"{name}: empty")
        for number, line in enumerate(text.splitlines(), 1):
            if MACHINE_PATH.search(line):
                problems.append(f"{name}:{number}: a path of a machine")
        if path.suffix == ".md" and not REPORTS.search(name):
            problems += [f"{name}:{number}: more than {WIDEST} columns" for number in wide_lines(text)]
        if path.suffix not in SOURCES:
            continue
        if name.startswith(("src/", "include/")):
            problems += [f"{name}: {why}" for pattern, home, why in ONE_WAY if not name.startswith(home) and pattern.search(text)]
        if not text.isascii():
            problems.append(f"{name}: not ASCII")
        if path.suffix in (".h", ".cpp", ".cc") and "SPDX-License-Identifier: MIT" not in text.split("\n", 1)[0]:
            problems.append(f"{name}: the first line is not the licence line")
        if name.startswith(("src/", "include/")) and text.count("\n") > 800:
            problems.append(f"{name}: {text.count(chr(10))} lines, 800 are allowed")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
