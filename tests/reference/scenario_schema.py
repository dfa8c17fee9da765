#!/usr/bin/env python3
"""Checks that scenarios/scenario.schema.json agrees with the reader.

Validated are the shipped scenarios, the seed's where it is there, and every case of tests/data/scenario_cases.json,
which the C++ test of the reader walks too.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def at(document: Any, parts: list[str]) -> Any:
    for part in parts:
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


def patched(document: Any, patch: list[dict[str, Any]]) -> Any:
    """RFC 6902, the four operations the cases use."""
    document = copy.deepcopy(document)
    for change in patch:
        names = {field: _split(change[field]) for field in ("path", "from") if field in change}
        value = change.get("value")
        if change["op"] == "move":
            source = at(document, names["from"][:-1])
            value = source.pop(names["from"][-1])
        target, last = at(document, names["path"][:-1]), names["path"][-1]
        if change["op"] == "remove":
            del target[int(last) if isinstance(target, list) else last]
        else:
            target[int(last) if isinstance(target, list) else last] = value
    return document


def _split(pointer: str) -> list[str]:
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def main() -> int:
    schema = read(ROOT / "scenarios" / "scenario.schema.json")
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    shipped = [f for f in sorted((ROOT / "scenarios").glob("*.json")) if f.name != "scenario.schema.json"]
    checks: list[tuple[str, Any, bool]] = [(file.name, read(file), True) for file in shipped]
    cases = read(ROOT / "tests" / "data" / "scenario_cases.json")
    checks.extend((case["name"], patched(cases["base"], case["patch"]), case["schema"]) for case in cases["cases"])
    skipped = 0
    named = os.environ.get("BULKHEAD_SEED_SCENARIO")
    seed = Path(named) if named else ROOT.parent / "shared" / "data" / "validation_001_software_eng.json"
    if seed.exists():
        checks.append((seed.name, read(seed), True))
    else:
        print(f"SKIPPED: no seed scenario at {seed}")
        skipped = 1
    failed = 0
    for name, document, expected in checks:
        errors = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
        if (not errors) != expected:
            failed += 1
            print(f"FAILED {name}: the schema {'refuses' if errors else 'accepts'} it {errors[:3]}")
    print(f"{len(checks) - failed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
