#!/usr/bin/env python3
"""The effect as a table: foreign terms in outputs A and B, sequential against semantic, from results documents."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def means(document: dict[str, Any]) -> dict[tuple[str, str], list[int]]:
    """(scenario, condition) -> foreign terms in A and B together, one number for each seed."""
    counts: dict[tuple[str, str], list[int]] = {}
    for run in document["runs"]:
        for condition in run["conditions"]:
            foreign = sum(o["foreign_terms"] for o in condition["outputs"] if o["label"] in ("A", "B"))
            counts.setdefault((run["scenario"]["id"], condition["name"]), []).append(foreign)
    return counts


def main(paths: list[str]) -> int:
    documents = [json.loads(Path(path).read_text()) for path in paths]
    first = documents[0]
    print("# Foreign terminology in outputs A and B\n")
    print(
        f"Bulkhead {first['bulkhead']['version']} ({first['bulkhead']['commit']}), model {first['model']['name']} "
        f"(SHA-256 {first['model']['sha256'][:16]}...), format {first['settings']['format']}, grade {first['engine']['grade']}, "
        f"{first['machine']['cpu']}, {first['machine']['cores']} cores, {first['engine']['threads']} threads.\n"
    )
    for document in documents:
        runs = document["runs"]
        greedy = runs[0]["greedy"]
        seeds = sorted({run["seed"] for run in runs})
        title = "Greedy" if greedy else f"Temperature {document['settings']['sampling']['temperature']:.1f}, seeds {seeds[0]} to {seeds[-1]}"
        counts = means(document)
        conditions = list(dict.fromkeys(condition for _, condition in counts))
        scenarios = list(dict.fromkeys(scenario for scenario, _ in counts))
        print(f"## {title}\n\nOccurrences in A and B together{'' if greedy else ': mean (each seed)'}.\n")
        print("| scenario | " + " | ".join(conditions) + " | semantic lower than sequential |")
        print("|---|" + "---|" * (len(conditions) + 1))
        lower = 0
        for scenario in scenarios:
            cells = []
            for condition in conditions:
                values = counts[scenario, condition]
                mean = sum(values) / len(values)
                cells.append(f"{mean:.0f}" if greedy else f"{mean:.1f} ({', '.join(map(str, values))})")
            sequential = counts[scenario, "sequential"]
            semantic = counts[scenario, "semantic"]
            is_lower = sum(semantic) / len(semantic) < sum(sequential) / len(sequential)
            lower += is_lower
            print(f"| {scenario} | " + " | ".join(cells) + f" | {'yes' if is_lower else 'no'} |")
        print(f"\nLower in {lower} of {len(scenarios)} conversations.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
