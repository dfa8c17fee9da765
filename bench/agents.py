#!/usr/bin/env python3
"""The true multi-agent baseline: one process and one set of weights for each topic (grade process), beside partitions of one model (buffer).

Condition semantic, greedy, the two grades in turns. Tokens and logits of every output must be the same, or the bench ends with 1. Times are
minima over the repetitions: the whole program with its start, and the condition from first prefill to last token. Memory is the largest sum
of the peaks of the program and its worker processes. JSON goes to stdout, a Markdown table to stderr.     bench/agents.sh [flags of this]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import program_run
from program_run import Json

GRADES = ("buffer", "process")


def scenarios_of(dataset: str, folder: Path) -> list[str]:
    """Files with the scenario of one conversation for each number of topics in the data set: the first of the shortest."""
    with open(dataset, encoding="utf-8") as lines:
        scenarios: list[Json] = [json.loads(line)["scenario"] for line in lines]
    chosen: dict[int, Json] = {}
    for scenario in sorted(scenarios, key=lambda one: len(one["turns"])):
        chosen.setdefault(len(scenario["semantic_clusters"]), scenario)
    files = []
    for _, scenario in sorted(chosen.items()):
        file = folder / f"{scenario['id']}.json"
        file.write_text(json.dumps(scenario), encoding="utf-8")
        files.append(str(file))
    return files


def run(flags: argparse.Namespace, model: str, scenario: str, grade: str) -> tuple[float, Json]:
    """Seconds of the whole program, and its results document."""
    predict = ["-n", str(flags.predict)] if flags.predict else []
    start = time.monotonic()
    document = program_run.run(
        flags.program, scenario, model, "-t", str(flags.threads), "--conditions", "semantic", "--temp", "0", "--grade", grade, *predict
    )
    return time.monotonic() - start, document


def shown(document: Json) -> list[tuple[str, str, str]]:
    outputs = document["runs"][0]["conditions"][0]["outputs"]
    return [(output["label"], output["text"], output["logit_hash"]) for output in outputs]


def measure(flags: argparse.Namespace, model: str, scenario: str) -> Json:
    whole: dict[str, list[float]] = {grade: [] for grade in GRADES}
    condition: dict[str, list[float]] = {grade: [] for grade in GRADES}
    memory = dict.fromkeys(GRADES, 0)
    processes = dict.fromkeys(GRADES, 0)
    first: list[tuple[str, str, str]] = []
    facts: Json = {}
    topics = 0
    for turn in range(flags.repeat):
        for grade in GRADES if turn % 2 == 0 else reversed(GRADES):
            seconds, document = run(flags, model, scenario, grade)
            first = first or shown(document)
            if shown(document) != first:
                raise SystemExit(f"agents: {model}, {scenario}: grade {grade} gives other texts or logits")
            facts = program_run.facts_of(document)
            topics = len(document["runs"][0]["conditions"][0]["partitions"])
            whole[grade].append(seconds)
            condition[grade].append(document["runs"][0]["conditions"][0]["wall_ms"] / 1000)
            workers = document["memory"]["workers"]
            memory[grade] = max(memory[grade], document["memory"]["peak_rss_bytes"] + workers["peak_rss_bytes"])
            processes[grade] = 1 + workers["processes"]
            print(f"{model} {Path(scenario).stem} {grade}: {seconds:.1f} s", file=sys.stderr)
    return {
        **facts,
        "model": model,
        "scenario": Path(scenario).stem,
        "topics": topics,
        "whole_seconds": whole,
        "condition_seconds": condition,
        "peak_rss_bytes": memory,
        "processes": processes,
    }


def markdown(document: Json) -> str:
    lines = [
        (
            f"{program_run.heading(document['rows'])}; {document['threads']} threads; "
            f"minima of {document['repeat']}, sides in turns. Texts and logits of both sides are the same bit for bit."
        ),
        "",
        "| model | scenario | topics | memory, one process | a process each | times | whole run, one process | a process each | times | answers only |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        memory = row["peak_rss_bytes"]
        whole = {grade: min(row["whole_seconds"][grade]) for grade in GRADES}
        answers = {grade: min(row["condition_seconds"][grade]) for grade in GRADES}
        cells = [row["model"], row["scenario"], str(row["topics"])]
        cells += [f"{memory[grade] / 2**20:,.0f} MiB" for grade in GRADES] + [f"{memory['process'] / memory['buffer']:.2f}"]
        cells += [f"{whole[grade]:.1f} s" for grade in GRADES] + [f"{whole['process'] / whole['buffer']:.2f}"]
        cells.append(f"{answers['buffer']:.1f} and {answers['process']:.1f} s ({answers['process'] / answers['buffer']:.2f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="bulkhead")
    parser.add_argument("-m", "--model", action="append", required=True)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--scenario", action="append")
    source.add_argument("--dataset", help="conversations as JSONL; of these, one for each number of topics")
    parser.add_argument("-n", "--predict", type=int, default=0, help="new tokens of each output; 0: the format's")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--repeat", type=int, default=3)
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scenarios = flags.scenario or scenarios_of(flags.dataset, Path(folder))
        rows = [measure(flags, model, scenario) for model in flags.model for scenario in scenarios]
    document: Json = {
        "benchmark": "agents",
        "threads": flags.threads,
        "repeat": flags.repeat,
        "rows": rows,
    }
    print(markdown(document), file=sys.stderr)
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
