#!/usr/bin/env python3
"""Checks datasets/bulkhead-bench/conversation.schema.json: it takes every committed line, and refuses broken ones."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "datasets" / "bulkhead-bench"

# What is changed in a good line -> what the schema must then say no to.
BREAKAGES: list[tuple[list[str | int], Any]] = [
    (["scenario", "turns", 0, "role"], "cat"),
    (["scenario", "id"], "../up"),
    (["difficulty"], 4),
    (["canaries", 0], 7),
    (["facts", 0, "value"], ""),
    (["facts", 0, "hint"], "x"),
    (["questions", 0, "kind"], "guess"),
    (["questions", 0, "answer"], None),
    (["questions", 0, "distractors"], []),
    (["questions", 0, "distractors", 0, "value"], 7),
    (["hint"], "x"),
]


def main() -> int:
    schema = json.loads((FOLDER / "conversation.schema.json").read_text(encoding="utf-8"))
    scenario = json.loads((ROOT / "scenarios" / "scenario.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    registry: Any = Registry().with_resource("scenario.schema.json", Resource.from_contents(scenario))
    validator = Draft202012Validator(schema, registry=registry)
    lines = (FOLDER / "conversations.jsonl").read_text(encoding="utf-8").splitlines()
    failed = 0
    for number, line in enumerate(lines, 1):
        for error in validator.iter_errors(json.loads(line)):
            failed += 1
            print(f"FAILED line {number}: {error.json_path}: {error.message[:200]}")
    for path, value in BREAKAGES:
        broken = copy.deepcopy(json.loads(lines[0]))
        target: Any = broken
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = value
        if validator.is_valid(broken):
            failed += 1
            print(f"FAILED: the schema takes {path} = {value!r}")
    print(f"{len(lines) + len(BREAKAGES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
