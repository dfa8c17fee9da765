"""Fixture files: numbers that other programs computed, kept in the tree, made anew and compared by the reference check."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

TOLERANCE = 1e-12  # relative: library builds differ in the last bits


def differences(kept: Any, made: Any, place: str = "") -> list[str]:
    """Where two documents differ, numbers by more than TOLERANCE."""
    if isinstance(made, dict) and isinstance(kept, dict) and kept.keys() == made.keys():
        return [line for key in made for line in differences(kept[key], made[key], f"{place}.{key}")]
    if isinstance(made, list) and isinstance(kept, list) and len(kept) == len(made):
        return [line for i, value in enumerate(made) for line in differences(kept[i], value, f"{place}[{i}]")]
    if isinstance(made, float) and isinstance(kept, float | int):
        same = math.isclose(kept, made, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    else:
        same = bool(kept == made)
    return [] if same else [f"{place}: {str(kept)[:60]} is kept, {str(made)[:60]} was made"]


def text(document: dict[str, list[dict[str, Any]]]) -> str:
    """One case a line, so that a change shows where it is."""
    groups = []
    for name, cases in document.items():
        lines = ",\n".join("  " + json.dumps(case, allow_nan=False) for case in cases)
        groups.append(f'"{name}": [\n{lines}\n]')
    return "{\n" + ",\n".join(groups) + "\n}\n"


def keep(file: Path, document: dict[str, list[dict[str, Any]]], write: bool) -> int:
    """Writes the file, or compares it with `document` and prints what differs. Exit code."""
    count = sum(len(cases) for cases in document.values())
    if write:
        file.write_text(text(document), encoding="ascii")
        print(f"{file.name}: {count} cases written")
        return 0
    found = differences(json.loads(file.read_text(encoding="ascii")), json.loads(text(document)))
    for line in found[:20]:
        print(f"FAILED {file.name}{line}")
    print(f"{file.name}: {count} cases, {len(found)} differences")
    return 1 if found else 0
