#!/usr/bin/env python3
"""Holds the rooms of cmake/layers.txt: a file includes its own room, rooms of a lower layer, and the public headers.

Also: third-party headers stay in the room they belong to, and the public headers include only themselves and the standard library.
`--self-test` plants violations in a copy of the tree and expects each to be found.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)

# Prefix of a third-party header -> the rooms that may include it.
THIRD_PARTY = {
    "llama.h": {"engines/llama"},
    "ggml": {"engines/llama", "engines/llama/kernels"},
    "traits.h": {"engines/llama/kernels"},
    "gguf": {"engines/llama"},
    "jinja/": {"engines/llama"},
    "chat.h": {"engines/llama"},
    "common.h": {"engines/llama"},
    "curl/": {"net"},
    "sqlite3": {"database"},
    "cpp-httplib/": {"serve"},
    "nlohmann/": {"base"},
    "openssl/": {"base"},
    "xxhash": {"base"},
    "spdlog/": {"base"},
    "CLI/": {"cli"},
    "boost/": {"measure"},
}


def read_layers(root: Path) -> dict[str, int]:
    layers: dict[str, int] = {}
    for line in (root / "cmake/layers.txt").read_text().splitlines():
        words = line.split("#")[0].split()
        if len(words) == 2:
            layers[words[0]] = int(words[1])
    return layers


def room_of(path: str, layers: dict[str, int]) -> str | None:
    """The longest room name that is a folder prefix of `path`."""
    rooms = [room for room in layers if path.startswith(room + "/")]
    return max(rooms, key=len) if rooms else None


def violations(root: Path) -> list[str]:
    layers = read_layers(root)
    found: list[str] = []
    for file in sorted((root / "src").rglob("*")):
        if file.suffix not in (".h", ".cpp", ".cc"):
            continue
        path = file.relative_to(root / "src").as_posix()
        room = room_of(path, layers)
        if room is None:
            found.append(f"src/{path}: lies in no room of cmake/layers.txt")
            continue
        for bracket, header in INCLUDE.findall(file.read_text()):
            if bracket == '"':
                target = room_of(header, layers)
                generated = header.startswith("embedded/")
                if target is None and not generated:
                    found.append(f"src/{path}: includes \"{header}\", which is in no room")
                elif target is not None and target != room and layers[target] >= layers[room]:
                    found.append(f"src/{path}: room {room} (layer {layers[room]}) includes {header} (layer {layers[target]})")
            else:
                for prefix, rooms in THIRD_PARTY.items():
                    if header.startswith(prefix) and room not in rooms:
                        found.append(f"src/{path}: <{header}> belongs to {', '.join(sorted(rooms))}")
    for file in sorted((root / "include").rglob("*")):
        if not file.name.endswith((".h", ".h.in")):
            continue
        for _, header in INCLUDE.findall(file.read_text()):
            in_c = file.name == "c.h" and header in {"stddef.h", "stdint.h"}  # the standard library of C
            if not header.startswith("bulkhead/") and ("/" in header or "." in header) and not in_c:
                found.append(f"include/{file.name}: a public header includes <{header}>")
    return found


def self_test(root: Path) -> list[str]:
    planted = {
        "src/plan/plan.cpp": '#include "run/executor.h"',
        "src/engines/llama/planted.cpp": '#include "partition/partition.h"',
        "src/net/planted.cpp": '#include "store/safe_file.h"',
        "src/run/planted.cpp": "#include <llama.h>",
        "src/nowhere/planted.cpp": "",
        "include/bulkhead/planted.h": "#include <nlohmann/json.hpp>",
    }
    missed = []
    for place, line in planted.items():
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder)
            (copy / "cmake").mkdir()
            (copy / "cmake/layers.txt").write_text((root / "cmake/layers.txt").read_text())
            (copy / "include").mkdir()
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            (copy / place).write_text(line + "\n")
            (copy / "src").mkdir(exist_ok=True)
            if len(violations(copy)) != 1:
                missed.append(f"not found: {place}: {line}")
    return missed


def main() -> int:
    root = Path(__file__).resolve().parents[2]
    found = self_test(root) if "--self-test" in sys.argv else violations(root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
