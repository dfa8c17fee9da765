#!/usr/bin/env python3
"""Damages scenarios, conversations of other formats and format files, and gives them to `validate` and `plan`.

    scripts/hostile/documents.py [--program FILE] [--tries 2000] [--seed 1] [--seconds 0] [--keep DIR]

Every try must end by itself with a code of docs/exit-codes.md that such a file can have, and with --json print JSON.
Prints "N tries, N signals, N hangs, N wrong codes"; ends with 1 when any of the last three is not 0.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HANG_SECONDS = 30
MEMORY_BYTES = 6 << 30
ALLOWED = {"validate": {0, 3}, "plan": {0, 3, 5}}

# What a reader may not expect where something else stood.
ODD_VALUES: list[Any] = [
    None, True, 0, -1, 7, 0.5, 1e308, 2**31, 2**63, 2**64 - 1, -(2**63), "", " ", "\t\n", "\0", "\x1b]0;x\x07", "a" * 70_000, "\u2581", "\u202e",
    "\ufeff", "\U0010ffff", "e\u0301", "{turn}", "{{", "{% for x in y %}", "<|im_start|>", "<start_of_turn>", "%s%n", "../../etc/passwd", "-", [], {},
    [[]], [None], [1, 2], {"a": {}}, {"role": "user"}, "user", "tool", "cluster_1",
]  # fmt: skip
ODD_TEXT = ["{", "}", "{x}", "{turn}", "\0", "\n", "\r", "\u2028", '"', "\\", "\u0301" * 300, "<eos>", "\ud83d"]
ODD_BYTES = [b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"[" * 5000, b'{"a":' * 5000, b'"', b",", b"1e99999", b"-", b"/*", b"\n" * 50]

OTHERS = {
    "openai.json": {
        "id": 7,
        "messages": [
            {"role": "system", "content": "Be short.", "topic": "bees"},
            {"role": "user", "content": [{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": "data:,"}}], "topic": "bees"},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1}'}}], "topic": "kiln"},
            {"role": "tool", "content": "2", "cluster": 3},
        ],
    },
    "sharegpt.json": [
        {"id": "a", "conversations": [{"from": "human", "value": "The hive lost its queen."}, {"from": "gpt", "value": "When?"}]},
        {"id": "a", "conversations": [{"from": "human", "value": "In May."}]},
    ],
    "chatgpt.json": [
        {
            "title": "Bees",
            "current_node": "c",
            "mapping": {
                "r": {"message": None, "parent": None, "children": ["a"]},
                "a": {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["Where?"]}}, "parent": "r", "children": ["b", "c"]},
                "b": {"message": {"author": {"role": "assistant"}, "content": {"content_type": "code", "text": "1"}}, "parent": "a", "children": []},
                "c": {"message": {"author": {"role": "tool"}, "content": {"content_type": "text", "parts": ["Here."]}}, "parent": "a", "children": []},
            },
        }
    ],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values inside `value`, itself not counted."""
    keys: Any = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def damage_value(draw: random.Random, document: Any) -> Any:
    document = copy.deepcopy(document)
    for _ in range(draw.choice([1, 1, 1, 2, 4])):
        all_places = list(places(document))
        if not all_places:
            break
        path = draw.choice(all_places)
        holder, key = at(document, path[:-1]), path[-1]
        old = holder[key]
        match draw.randrange(7):
            case 0:
                holder[key] = copy.deepcopy(draw.choice(ODD_VALUES))
            case 1:
                del holder[key]
            case 2 if isinstance(holder, dict):
                holder[draw.choice(["x", "id", "turns", "", "parent", str(key) + "x", "\0"])] = copy.deepcopy(old)
            case 2:
                holder.insert(key, copy.deepcopy(old))
            case 3:
                holder[key] = copy.deepcopy(at(document, draw.choice(all_places)))
            case 4 if isinstance(old, str):
                cut = draw.randrange(len(old) + 1)
                holder[key] = old[:cut] + draw.choice(ODD_TEXT) + old[cut:]
            case 5 if isinstance(old, int):
                holder[key] = old + draw.choice([-1, 1, 10**3, 10**9, 10**18])
            case 6 if isinstance(old, list):
                holder[key] = old * draw.choice([0, 2, 300])
            case _:
                holder[key] = [old]
    return document


def damage_bytes(draw: random.Random, data: bytes) -> bytes:
    for _ in range(draw.choice([1, 1, 2, 6])):
        cut = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0:
                data = data[:cut]
            case 1:
                data = data[:cut] + draw.choice(ODD_BYTES) + data[cut:]
            case 2:
                data = data[:cut] + data[cut + draw.randrange(1, 60) :]
            case 3:
                data = data[:cut] + bytes([draw.randrange(256)]) + data[cut + 1 :]
            case 4:
                begin = draw.randrange(len(data) + 1)
                data = data[:cut] + data[begin : begin + draw.randrange(200)] + data[cut:]
    return data


def written(draw: random.Random, document: Any) -> bytes:
    """The document in one of the layouts that people have."""
    ascii_only = draw.random() < 0.5
    if isinstance(document, list) and draw.random() < 0.3:
        text = "\n".join(json.dumps(one, ensure_ascii=ascii_only) for one in document)
    else:
        text = json.dumps(document, indent=draw.choice([None, 1]), ensure_ascii=ascii_only)
    return (b"\xef\xbb\xbf" if draw.random() < 0.1 else b"") + text.encode("utf-8", "surrogatepass")


@dataclass
class Tally:
    tries: int = 0
    signals: int = 0
    hangs: int = 0
    wrong: int = 0
    slowest: float = 0.0
    found: list[str] = field(default_factory=list)

    def line(self) -> str:
        return f"{self.tries} tries, {self.signals} signals, {self.hangs} hangs, {self.wrong} wrong codes"


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def judge(tally: Tally, command: str, arguments: list[bytes], folder: Path) -> str:
    """Runs the program once; what was wrong, or nothing."""
    begin = time.monotonic()
    try:
        ended = subprocess.run(arguments, cwd=folder, capture_output=True, stdin=subprocess.DEVNULL, timeout=HANG_SECONDS, check=False, preexec_fn=limit)
    except subprocess.TimeoutExpired:
        tally.hangs += 1
        return "hang"
    finally:
        tally.slowest = max(tally.slowest, time.monotonic() - begin)
    if ended.returncode < 0:
        tally.signals += 1
        return f"signal {-ended.returncode}"
    if ended.returncode not in ALLOWED[command]:
        tally.wrong += 1
        return f"code {ended.returncode}: {ended.stderr[-200:].decode(errors='replace')}"
    if b"--json" in arguments:
        try:
            json.loads(ended.stdout)
        except ValueError:
            tally.wrong += 1
            return f"code {ended.returncode}, but no JSON: {ended.stdout[:100]!r}"
    return ""


def attack(program: Path, tries: int, seed: int, seconds: float, keep: Path | None) -> Tally:
    draw = random.Random(seed)
    scenarios = [json.loads(path.read_bytes()) for path in sorted((ROOT / "scenarios").glob("*.json")) if "schema" not in path.name]
    formats = [json.loads(path.read_bytes()) for path in sorted((ROOT / "formats").glob("*.json"))]
    tally = Tally()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bulkhead-documents-") as name:
        folder = Path(name)
        good = folder / "good.json"
        good.write_text(json.dumps(scenarios[0]), encoding="utf-8")
        while tally.tries < tries and (seconds <= 0 or time.monotonic() - begin < seconds):
            what = draw.choice(["scenario", "scenario", "other", "format"])
            document = draw.choice({"scenario": scenarios, "other": list(OTHERS.values()), "format": formats}[what])
            data = written(draw, damage_value(draw, document)) if draw.random() < 0.65 else damage_bytes(draw, written(draw, document))
            file = os.fsencode(folder) + b"/" + (b"m\xff.json" if draw.random() < 0.1 else b"m.json")
            Path(os.fsdecode(file)).write_bytes(data)
            command = "plan" if what == "format" else draw.choice(["validate", "plan"])
            arguments = [os.fsencode(program), command.encode(), os.fsencode(good) if what == "format" else file]
            if command == "plan":
                arguments += [b"--engine", b"fake"]
            if what == "format":
                arguments += [b"--format", file]
            if draw.random() < 0.5:
                arguments.append(b"--json")
            tally.tries += 1
            problem = judge(tally, command, arguments, folder)
            if not problem:
                continue
            tally.found.append(f"try {tally.tries}, {command} of a {what}: {problem}")
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{tally.tries}-{command}-{what}.json").write_bytes(data)
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "build/release/src/bulkhead")
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0, help="stop then, whatever was tried; 0: never")
    parser.add_argument("--keep", type=Path, help="folder for the documents that were not refused as they should be")
    options = parser.parse_args()
    tally = attack(options.program.resolve(), options.tries, options.seed, options.seconds, options.keep)
    for line in tally.found:
        print(line)
    print(f"slowest {tally.slowest:.1f} s", file=sys.stderr)
    print(tally.line())
    return 1 if tally.signals + tally.hangs + tally.wrong > 0 or tally.tries == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
