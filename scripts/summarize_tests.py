#!/usr/bin/env python3
"""Adds up the JUnit files and named checks of a test run; the last line is `N passed, N failed, N skipped`.

Exit status 1 when something failed, when a skip is not listed, or when nothing ran.
"""

from __future__ import annotations

import fnmatch
import sys
from pathlib import Path
from xml.etree import ElementTree


def allowed_patterns(path: Path) -> list[str]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def main(reports: Path, allowed_file: Path) -> int:
    patterns = allowed_patterns(allowed_file)
    passed = 0
    failed: list[str] = []
    skipped: list[str] = []
    for report in sorted(reports.glob("ctest-*.xml")):
        flavour = report.stem.removeprefix("ctest-")
        for case in ElementTree.parse(report).getroot().iter("testcase"):
            name = f"{flavour}/{case.get('name')}"
            if case.find("failure") is not None or case.get("status") == "fail":
                failed.append(name)
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                skipped.append(name)
            else:
                passed += 1
    for outcome in sorted(reports.glob("*.check")):
        if outcome.read_text().strip() == "pass":
            passed += 1
        else:
            failed.append(outcome.stem)
    for name in skipped:
        listed = any(fnmatch.fnmatch(name, f"*/{pattern}") for pattern in patterns)
        print(f"skipped{'' if listed else ' (not listed: a failure)'}: {name}")
        if not listed:
            failed.append(name)
    for name in failed:
        print(f"failed: {name}")
    unlisted = len(set(failed) & set(skipped))
    print(f"{passed} passed, {len(failed)} failed, {len(skipped) - unlisted} skipped")
    return 1 if failed or passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
