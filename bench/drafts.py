#!/usr/bin/env python3
"""What drafts by prompt lookup gain: each scenario with and without them, in turns, output by output.

Each output's ratio is the quotient of the shortest decoding times without and with drafts over all repetitions. Text and logits must be the
same either way, or the bench ends with 1. Synthesis outputs quote the messages that they received; the others are where drafts must not cost.
JSON goes to stdout, a Markdown table to stderr.     bench/drafts.sh [flags of this]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import program_run
from program_run import Json


def run(flags: argparse.Namespace, model: str, scenario: str, condition: str, temperature: str, drafts: bool) -> tuple[Json, Json]:
    """Facts of the program, and label -> output, of one run of one condition."""
    more = ["-n", str(flags.predict)] if flags.predict else []
    if not drafts:
        more.append("--no-speculation")
    document = program_run.run(
        flags.program, scenario, model, "-t", str(flags.threads), "--conditions", condition, "--temp", temperature, *more
    )
    outputs = document["runs"][0]["conditions"][0]["outputs"]
    return program_run.facts_of(document), {output["label"]: output for output in outputs}


def measure(flags: argparse.Namespace, model: str, scenario: str, condition: str, temperature: str) -> list[Json]:
    times: dict[str, tuple[list[float], list[float]]] = {}
    last: Json = {}
    facts: Json = {}
    for turn in range(flags.repeat):
        plain: Json = {}
        for drafts in (False, True) if turn % 2 == 0 else (True, False):
            facts, outputs = run(flags, model, scenario, condition, temperature, drafts)
            for label, output in outputs.items():
                times.setdefault(label, ([], []))[1 if drafts else 0].append(output["decode_ms"])
            if drafts:
                last = outputs
            else:
                plain = outputs
        for label, output in plain.items():
            if (output["text"], output["logit_hash"]) != (last[label]["text"], last[label]["logit_hash"]):
                raise SystemExit(f"drafts: {model}, {scenario}, {condition}, output {label}: drafts changed the text or its logits")
    rows = []
    for label, (without, with_drafts) in times.items():
        output = last[label]
        rows.append(
            {
                **facts,
                "model": model,
                "scenario": Path(scenario).stem,
                "condition": condition,
                "temperature": float(temperature),
                "output": label,
                "synthesis": condition == "semantic" and label == flags.synthesis,
                "tokens": output["tokens"],
                "drafted_tokens": output["drafted_tokens"],
                "accepted_tokens": output["accepted_tokens"],
                "plain_ms": without,
                "draft_ms": with_drafts,
                "ratio": min(without) / min(with_drafts),
            }
        )
    return rows


def markdown(document: Json) -> str:
    lines = [
        (
            f"{program_run.heading(document['rows'])}; {document['threads']} threads; "
            f"minima of {document['repeat']}, sides in turns. Ratio: decoding time without drafts by that with them."
        ),
        "",
        "| model | scenario | condition | temperature | output | tokens | accepted of drafted | ratio |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in document["rows"]:
        name = f"{row['output']} (synthesis)" if row["synthesis"] else row["output"]
        cells = [row["model"], row["scenario"], row["condition"], f"{row['temperature']:g}", name, str(row["tokens"])]
        lines.append("| " + " | ".join([*cells, f"{row['accepted_tokens']} of {row['drafted_tokens']}", f"{row['ratio']:.2f}"]) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="bulkhead")
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("--scenario", action="append", required=True)
    parser.add_argument("--conditions", default="semantic,sequential")
    parser.add_argument("--temperatures", default="0,0.7")
    parser.add_argument("--synthesis", default="C", help="label of the output that brings the others together")
    parser.add_argument("-n", "--predict", type=int, default=0, help="new tokens of each output; 0: the format's")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--repeat", type=int, default=3)
    flags = parser.parse_args()
    rows: list[Json] = []
    for model in flags.model:
        for scenario in flags.scenario:
            for condition in flags.conditions.split(","):
                for temperature in flags.temperatures.split(","):
                    rows += measure(flags, model, scenario, condition, temperature)
                    for row in rows[-3:]:
                        print(f"{model} {row['scenario']} {condition} {temperature} {row['output']}: {row['ratio']:.2f}", file=sys.stderr)
    document: Json = {
        "benchmark": "drafts",
        "threads": flags.threads,
        "repeat": flags.repeat,
        "rows": rows,
    }
    print(markdown(document), file=sys.stderr)
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
