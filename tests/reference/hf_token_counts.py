#!/usr/bin/env python3
"""Counts every context with the Hugging Face tokenizer and compares the counts with tests/data/token_counts.json.

Independent of the C++ code: the joins are made here from the format files, and the tokenizer is the `tokenizers` BPE,
built from the vocabulary inside the GGUF the way transformers converts a SentencePiece model. Only raw formats count.

Usage: hf_token_counts.py [--model GGUF] [--seed-scenario FILE] [--write]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PINNED = ROOT / "tests" / "data" / "token_counts.json"
MODEL = "gemma-3-270m-q4_k_m.gguf"
SEED = "seed"  # stands for the seed experiment's scenario, which is not part of this repository
USER_DEFINED = 4  # tokenizer.ggml.token_type: matched as a whole before anything else

Record = dict[str, Any]


def default_model() -> Path:
    folder = os.environ.get("BULKHEAD_MODELS")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(folder) if folder else cache / "bulkhead" / "models") / MODEL


def default_seed() -> Path:
    named = os.environ.get("BULKHEAD_SEED_SCENARIO")
    return Path(named) if named else ROOT.parent / "shared" / "data" / "validation_001_software_eng.json"


@dataclass(frozen=True)
class Model:
    tokenizer: Any
    bos: int

    def encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def load_model(path: Path) -> Model:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer, normalizers
    from tokenizers.models import BPE
    from transformers.convert_slow_tokenizer import generate_merges

    fields = GGUFReader(path).fields

    def value(name: str) -> Any:
        return fields[f"tokenizer.ggml.{name}"].contents()

    tokens: list[str] = value("tokens")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    merges = generate_merges(vocabulary, dict(zip(tokens, value("scores"), strict=True)))
    unknown = tokens[value("unknown_token_id")]
    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
    whole = [token for token, kind in zip(tokens, value("token_type"), strict=True) if kind == USER_DEFINED]
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in whole])
    return Model(tokenizer, value("bos_token_id"))


def text_of(turn: Record, *, read_query: bool) -> str:
    if turn.get("query") is not None:
        return str(turn["query"]) if read_query else ""
    return str(turn["instruction"] if turn.get("instruction") is not None else turn["content"])


def cluster_of(turn: Record) -> str:
    named = turn["cluster"]
    return f"cluster_{named}" if isinstance(named, int) else str(named)


def topic_of(cluster: Record) -> str:
    return str(cluster.get("topic") or cluster.get("focus_area") or cluster["task_type"].replace("_", " "))


def depends(scenario: Record, identifier: str) -> bool:
    clusters: dict[str, Record] = scenario["semantic_clusters"]
    if any(cluster.get("depends_on") is not None for cluster in clusters.values()):
        return bool(clusters[identifier].get("depends_on"))
    return clusters[identifier].get("task_type") == "synthesis" and next(iter(clusters)) != identifier


def instruction_of(form: Record, scenario: Record) -> str:
    clusters: dict[str, Record] = scenario["semantic_clusters"]
    exact = form.get("exact")
    if exact and exact["task_types"] == [cluster.get("task_type") for cluster in clusters.values()]:
        return str(exact["instruction"])
    free = [topic_of(cluster) for name, cluster in clusters.items() if not depends(scenario, name)]
    listed = " and ".join([", ".join(free[:-1]), free[-1]]) if len(free) > 1 else free[0]
    numbered = "\n".join(f"{number}. {topic_of(cluster)}" for number, cluster in enumerate(clusters.values(), 1))
    return str(form["texts"]["instruction"]).replace("{topics}", listed).replace("{numbered_topics}", numbered)


def context_ids(model: Model, form: Record, head: str, turns: list[Record], *, markers: bool = False) -> list[int]:
    texts = []
    for turn in turns:
        marker = form["turn_marker"].replace("{turn}", str(turn["turn_id"])) if markers else ""
        text = marker + text_of(turn, read_query=form.get("read_query", True))
        if text:
            texts.append(text)
    if form["tokenizing"] == "whole":
        return [model.bos, *model.encode(head + form.get("separator", "").join(texts))]
    blocks = [model.encode(text) for text in ([head] if head else []) + texts]
    if form.get("bos") == "once":
        return [model.bos, *(token for block in blocks for token in block)]
    return [token for block in blocks for token in [model.bos, *block]]


def contexts_of(model: Model, form: Record, scenario: Record) -> dict[tuple[str, str], list[int]]:
    turns: list[Record] = scenario["turns"]
    found = {
        ("sequential", "all"): context_ids(model, form, "", turns),
        ("prompted", "all"): context_ids(model, form, instruction_of(form, scenario), turns),
        ("turn_based", "all"): context_ids(model, form, "", turns, markers=True),
    }
    for cluster in scenario["semantic_clusters"]:
        own = [turn for turn in turns if cluster_of(turn) == cluster]
        found["semantic", cluster] = context_ids(model, form, "", own)
    return found


def sha256_of(ids: list[int]) -> str:
    return hashlib.sha256(b"".join(struct.pack("<i", token) for token in ids)).hexdigest()


def merged(base: Record, over: Record) -> Record:
    """RFC 7396."""
    result = {field: value for field, value in base.items() if over.get(field, value) is not None}
    for field, value in over.items():
        if value is not None:
            result[field] = merged(base.get(field, {}), value) if isinstance(value, dict) else value
    return result


def read_form(file: Path) -> Record:
    form: Record = json.loads(file.read_text(encoding="utf-8"))
    return merged(read_form(file.with_name(f"{form['extends']}.json")), form) if "extends" in form else form


def counted(model: Model, name: str, path: Path) -> list[Record]:
    scenario: Record = json.loads(path.read_text(encoding="utf-8"))
    records: list[Record] = []
    for file in sorted((ROOT / "formats").glob("*.json")):
        form = read_form(file)
        if form["rendering"] != "raw":
            continue
        for (condition, context), ids in contexts_of(model, form, scenario).items():
            where = {"scenario": name, "format": form["name"], "condition": condition, "context": context}
            records.append({**where, "tokens": len(ids), "token_sha256": sha256_of(ids)})
    return records


def key(record: Record) -> tuple[str, ...]:
    return tuple(str(record[field]) for field in ("scenario", "format", "condition", "context"))


def compare(found: list[Record], pinned: list[Record]) -> tuple[int, int]:
    """Passed and failed; a pinned context that was not found, or the other way round, fails."""
    expected = {key(record): record for record in pinned}
    failed = 0
    for record in found:
        want = expected.pop(key(record), None)
        if want != record:
            failed += 1
            print(f"FAILED {'/'.join(key(record))}: {record['tokens']} tokens, pinned {want and want['tokens']}")
    for missing in expected:
        print(f"FAILED {'/'.join(missing)}: pinned but not found")
    return len(found) - failed, failed + len(expected)


def write(found: list[Record], sha256: str) -> None:
    lines = ",\n".join("    " + json.dumps(record) for record in found)
    head = json.dumps({"file": MODEL, "sha256": sha256})
    PINNED.write_text(f'{{\n  "model": {head},\n  "counts": [\n{lines}\n  ]\n}}\n', encoding="utf-8")


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=default_model())
    parser.add_argument("--seed-scenario", type=Path, default=default_seed())
    parser.add_argument("--write", action="store_true", help="write the pinned file anew")
    arguments = parser.parse_args()

    pinned: Record = json.loads(PINNED.read_text(encoding="utf-8")) if PINNED.exists() else {"counts": []}
    if not arguments.model.exists():
        print(f"SKIPPED all: no model at {arguments.model}")
        print(f"0 passed, 0 failed, {len(pinned['counts'])} skipped")
        return 0
    model_sha256 = sha256_of_file(arguments.model)
    model = load_model(arguments.model)
    scenarios = {f.stem: f for f in sorted((ROOT / "scenarios").glob("*.json")) if f.name != "scenario.schema.json"}
    if arguments.seed_scenario.exists():
        scenarios[SEED] = arguments.seed_scenario
    found = [record for name, path in scenarios.items() for record in counted(model, name, path)]
    if arguments.write:
        write(found, model_sha256)
        return 0
    skipped = [record for record in pinned["counts"] if record["scenario"] not in scenarios]
    if skipped:
        print(f"SKIPPED {len(skipped)}: no seed scenario at {arguments.seed_scenario}")
    passed, failed = compare(found, [record for record in pinned["counts"] if record["scenario"] in scenarios])
    if pinned["model"]["sha256"] != model_sha256:
        print(f"FAILED: {arguments.model} is not the pinned model")
        failed += 1
    print(f"{passed} passed, {failed} failed, {len(skipped)} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
