#!/usr/bin/env python3
"""Figures of a long run with what they were made on: JSON lines on stdin become one document on stdout.

    PROGRAM | sed -n 's/^name //p' | scripts/add_machine_facts.py MODEL [NAME FIELD ...]

One line is the document itself. Of several, each goes under the NAME whose FIELD it has; what no line has is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys


def main() -> int:
    model, *named = sys.argv[1:]
    lines = [json.loads(line) for line in sys.stdin if line.strip()]
    if not lines:
        print("add_machine_facts: the run gave no figures", file=sys.stderr)
        return 1
    figures = lines[0]
    if named:
        pairs = list(zip(named[::2], named[1::2], strict=True))
        figures = {name: line for name, field in pairs for line in lines if field in line}
    figures["commit"] = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
    figures["model"] = os.path.basename(model)
    figures["cores"] = os.cpu_count()
    with open("/proc/cpuinfo", encoding="utf-8") as facts:
        figures["cpu"] = next(line.split(":", 1)[1].strip() for line in facts if line.startswith("model name"))
    print(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
