#!/usr/bin/env python3
"""The seed's confounds as a table, from run folders. Run by scripts/confounds.sh.

Usage: confounds_table.py MODEL FOLDER...        (in the workers' environment)
The first folder is what the others are compared with, output by output of one scenario, condition, label and seed.

Surprise: how unlikely an output is as a text, in nats per token: the mean negative log-likelihood that the model itself, in f32, with one BOS
and nothing else before it, gives the output's tokens. It needs no judge, and it is the same measure for every row: word salad is unlikely under any model.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

OPTIONS: dict[str, Any] = {"threads": 0, "gpu_layers": 0, "flash_attention": True, "dtype": "f32"}
DRAWS = 10_000
Key = tuple[str, str, str, int]
Row = dict[str, float]


class Surprise:
    def __init__(self, model: Path) -> None:
        from bulkhead_workers.transformers_network import TransformersNetwork

        self._network = TransformersNetwork(model, {**OPTIONS, "path": str(model)})
        self._bos = self._network.tokenizer.bos_token_id
        if self._bos is None:  # Qwen has none: an empty line says as little
            self._bos = self._network.tokenizer.encode("\n", add_special_tokens=False)[0]

    def of(self, tokens: list[int]) -> float:
        given = [self._bos, *tokens]
        rows = self._network.forward(self._network.new_cache(len(given)), given, True)[:-1].astype(np.float64)
        most = rows.max(axis=1, keepdims=True)
        logs = rows - most - np.log(np.exp(rows - most).sum(axis=1, keepdims=True))
        return float(-logs[np.arange(len(tokens)), tokens].mean())


def outputs(folder: Path, surprise: Surprise) -> dict[Key, Row]:
    """Of complete outputs with two tokens at least."""
    path = folder / "results.json"
    found: dict[Key, Row] = {}
    for run in json.loads(path.read_text())["runs"] if path.exists() else []:
        for condition in run["conditions"]:
            for output in condition["outputs"]:
                tokens = output["token_ids"]
                if len(tokens) < 2:
                    continue
                words = output["text"].split()
                pairs = list(itertools.pairwise(words))
                found[run["scenario"]["id"], condition["name"], output["label"], run["seed"]] = {
                    "surprise": surprise.of(tokens),
                    "distinct": len(set(pairs)) / len(pairs) if pairs else 0.0,
                    "own": 100 * output["own_terms"] / len(tokens),
                    "foreign": 100 * output["foreign_terms"] / len(tokens),
                }
    return found


def mean(rows: list[Row], measure: str) -> float:
    return float(np.mean([row[measure] for row in rows]))


def difference(first: dict[Key, Row], other: dict[Key, Row], measure: str) -> str:
    """Mean of the paired differences, and its 95 % percentile interval over scenarios and seeds drawn anew."""
    keys = sorted(set(first) & set(other))
    groups: dict[tuple[str, int], list[float]] = {}
    for key in keys:
        groups.setdefault((key[0], key[3]), []).append(other[key][measure] - first[key][measure])
    if len(groups) < 2:
        return ""
    values = np.array([np.mean(group) for group in groups.values()])
    drawn = values[np.random.default_rng(1).integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{values.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def error_of(folder: Path) -> str:
    log = folder.with_name(folder.name + ".log")
    lines = [line for line in log.read_text().splitlines() if line.strip()] if log.exists() else []
    return lines[-1] if lines else "not run"


def main(model: str, names: list[str]) -> int:
    surprise = Surprise(Path(model))
    folders = [Path(name) for name in names]
    every = {folder: outputs(folder, surprise) for folder in folders}
    first = every[folders[0]]
    document = json.loads((folders[0] / "results.json").read_text())
    engine, settings = document["engine"], document["settings"]
    scenarios = sorted({key[0] for key in first})
    print(f"# The seed's confounds on {document['model']['name']}\n")
    print(
        f"Bulkhead {document['bulkhead']['version']} ({document['bulkhead']['commit']}), {engine['build']}, model SHA-256 "
        f"{document['model']['sha256'][:16]}..., scenarios {', '.join(scenarios)}, seeds {', '.join(map(str, sorted({key[3] for key in first})))}, "
        f"temperature {settings['sampling']['temperature']:.1f}; {document['machine']['cpu']}, {document['machine']['cores']} cores.\n"
    )
    print("Own and foreign: terms of an output's own topic and of others, for each 100 tokens. Differences: from `meant`, paired, mean (95 % interval).\n")
    for condition in ("sequential", "semantic"):
        print(f"## {condition}\n")
        print("| changed | outputs | surprise, nats a token | difference | distinct word pairs | own | foreign |\n|---|---|---|---|---|---|---|")
        base = {key: row for key, row in first.items() if key[1] == condition}
        for folder in folders:
            found = {key: row for key, row in every[folder].items() if key[1] == condition}
            if not found:
                print(f"| {folder.name} | 0 | {error_of(folder)} | | | | |")
                continue
            rows = list(found.values())
            told = difference(base, found, "surprise") if folder != folders[0] else ""
            print(
                f"| {folder.name} | {len(rows)} | {mean(rows, 'surprise'):.2f} | {told} | {mean(rows, 'distinct'):.2f} "
                f"| {mean(rows, 'own'):.2f} | {mean(rows, 'foreign'):.2f} |"
            )
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
