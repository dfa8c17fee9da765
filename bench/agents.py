#!/usr/bin/env python3
"""The true multi-agent baseline: one process and one set of weights for each topic (grade process), beside partitions of one model (buffer).

Condition semantic, greedy, the two grades in turns. Tokens and logits of every output must be the same, or the bench ends with 1. Times are
minima over the repetitions: the whole program with its start, and the condition from first prefill to last token. Memory is the largest sum
of the peaks of the program and its worker processes. JSON goes to stdout, a Markdown table to stderr.     bench/agents.sh [flags of this]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

Json = dict[str, Any]
GRADES = ("buffer", "process")


def run(flags: argparse.Namespace, model: str, scenario: str, grade: str) -> tuple[float, Json]:
    """Seconds of the whole program, and its results document."""
    with tempfile.TemporaryDirectory() as folder:
        command = [flags.program, "run", scenario, "-m", model, "-t", str(flags.threads), "--conditions", "semantic", "--temp", "0"]
        command += ["--grade", grade, "--json", "--out", str(Path(folder) / "run")]
        if flags.predict:
            command += ["-n", str(flags.predict)]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
    if done.returncode != 0:
        raise SystemExit(f"agents: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, json.loads(done.stdout)


def shown(document: Json) -> list[tuple[str, str, str]]:
    outputs = document["runs"][0]["conditions"][0]["outputs"]
    return [(output["label"], output["text"], output["logit_hash"]) for output in outputs]


def measure(flags: argparse.Namespace, model: str, scenario: str) -> Json:
    whole: dict[str, list[float]] = {grade: [] for grade in GRADES}
    condition: dict[str, list[float]] = {grade: [] for grade in GRADES}
    memory = dict.fromkeys(GRADES, 0)
    processes = dict.fromkeys(GRADES, 0)
    first: list[tuple[str, str, str]] = []
    topics = 0
    for turn in range(flags.repeat):
        for grade in GRADES if turn % 2 == 0 else reversed(GRADES):
            seconds, document = run(flags, model, scenario, grade)
            first = first or shown(document)
            if shown(document) != first:
                raise SystemExit(f"agents: {model}, {scenario}: grade {grade} gives other texts or logits")
            topics = len(document["runs"][0]["conditions"][0]["partitions"])
            whole[grade].append(seconds)
            condition[grade].append(document["runs"][0]["conditions"][0]["wall_ms"] / 1000)
            workers = document["memory"]["workers"]
            memory[grade] = max(memory[grade], document["memory"]["peak_rss_bytes"] + workers["peak_rss_bytes"])
            processes[grade] = 1 + workers["processes"]
            print(f"{model} {Path(scenario).stem} {grade}: {seconds:.1f} s", file=sys.stderr)
    return {
        "model": model,
        "scenario": Path(scenario).stem,
        "topics": topics,
        "whole_seconds": whole,
        "condition_seconds": condition,
        "peak_rss_bytes": memory,
        "processes": processes,
    }


def markdown(document: Json) -> str:
    machine = document["machine"]
    lines = [
        (
            f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}; commit {document['commit']}; {document['threads']} threads; "
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
    parser.add_argument("--scenario", action="append", required=True)
    parser.add_argument("-n", "--predict", type=int, default=0, help="new tokens of each output; 0: the format's")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--repeat", type=int, default=3)
    parser.add_argument("--commit", default="unknown")
    flags = parser.parse_args()
    rows = [measure(flags, model, scenario) for model in flags.model for scenario in flags.scenario]
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "?")
    uname = subprocess.run(["uname", "-sr"], capture_output=True, text=True, check=True).stdout.strip()
    cores = int(subprocess.run(["nproc"], capture_output=True, text=True, check=True).stdout)
    document: Json = {
        "benchmark": "agents",
        "commit": flags.commit,
        "machine": {"cpu": cpu, "cores": cores, "os": uname},
        "threads": flags.threads,
        "repeat": flags.repeat,
        "rows": rows,
    }
    print(markdown(document), file=sys.stderr)
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
