#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes results_fixture.json: 3 clusters x 4 conditions x 2 seeds and a greedy run, with hostile texts."""

import hashlib
import json
import pathlib
import re
from collections.abc import Sequence
from typing import Any

Entry = dict[str, Any]

HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"><!-- & 'quotes' \"double\""
RTL = "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd"
EMOJI = "\U0001f6a2\U0001f468\u200d\U0001f469\u200d\U0001f467"

CLUSTERS: list[Entry] = [
    {
        "id": "cluster_1",
        "label": "A",
        "topic": "repair of the lens",
        "turns": [1, 2, 3, 4, 5],
        "depends_on": [],
        "terminology": ["prism", "mercury bath", "lens", "bearing", "brass", "focal plane", "<b>glass</b>"],
        "expected_output": "A repair plan for the lens and its mercury bath.",
    },
    {
        "id": "cluster_2",
        "label": "B",
        "topic": "membership drive",
        "turns": [6, 7, 8, 9, 10],
        "depends_on": [],
        "terminology": ["membership", "donor", "ticket price", "newsletter", "volunteer", "gift shop"],
        "expected_output": "A plan to win four hundred members in one season.",
    },
    {
        "id": "cluster_3",
        "label": "C",
        "topic": "plan for the board",
        "turns": [11, 12, 13, 14, 15],
        "depends_on": ["cluster_1", "cluster_2"],
        "terminology": [],
        "expected_output": "One page for the board.",
    },
]
TURNS = [
    "Assess the lens: which of the prisms can be saved, and what does the mercury bath need?",
    (
        "The first-order lens has 14 panels; nine prisms are chipped, one brass frame is bent, "
        "the bearing hums above two turns a minute."
    ),
    "Look at the focal plane first; the survey of 1911 gives 920 mm.",
    "The mercury bath has lost 3 kg since spring. Air samples are below the limit.",
    "Give five steps with costs and the order of work.",
    "Plan a membership drive for the season from April to October.",
    "We have 212 members, 38 volunteers and one gift shop. " + HOSTILE,
    "The ticket price was 6.50 last year. Donors ask for an evening opening. " + RTL,
    "The newsletter reaches 1,900 people, one in five opens it. " + EMOJI,
    "Name three offers and say what each brings.",
    "Now write for the board.",
    "They have ten minutes and no technical background.",
    "Say what must be decided in this meeting.",
    "Keep to one page.",
    "What should the board decide?",
]
CONDITIONS = [
    ("sequential", "Sequential", "nothing", False),
    ("prompted", "Prompted", "words", False),
    ("turn_based", "Turn-based", "markers", False),
    ("semantic", "Semantic", "own caches", True),
]
ON_TOPIC = {
    "A": [
        "Start with the bearing: its hum points to a worn race, and every prism behind it shakes.",
        "Lift the lens on four jacks, then measure the focal plane at three heights.",
        "Refill the mercury bath slowly.\n\n* Replace nine prisms.\n* Straighten the brass frame.",
        "The brass can be annealed on site, which saves a journey of 300 km.",
        "Close with a night test: one turn a minute, photometer at 500 m.",
    ],
    "B": [
        "Offer a family membership at 48 a year, sold in the gift shop.",
        "Write a newsletter every month that names one volunteer and one donor.",
        "Keep the ticket price at 6.50 and give the evening opening to members only.",
        "1. Ask each volunteer to bring one friend.\n2. Thank every donor by hand.",
        "Four hundred members bring 19,200 a year, more than all tickets did.",
    ],
    "C": [
        "The board should decide two things today: the repair of the lens, and the membership drive that pays for it.",
        "Work on the mercury bath closes the tower for six weeks; the newsletter should say so early.",
        "Both plans meet in October, when the light is lit again for members.",
    ],
}
STRAYS = {
    "A": [
        "A donor could pay for the prisms.",
        "Mention it in the newsletter.",
        "Each volunteer needs gloves.",
        "The gift-shop could sell chipped glass.",
        "Membership rises when the light turns.",
        "The ticket price should rise too.",
    ],
    "B": [
        "The lens must turn by April.",
        "Show members the mercury bath.",
        "A brass token is a good gift.",
        "The bearing hums, which visitors like.",
        "Sell the nine prisms.",
        "Explain the focal plane on a board.",
    ],
    "C": [],
}
# Stray sentences per condition, label and run.
STRAY_COUNTS = {
    "sequential": {"A": [4, 5, 3], "B": [5, 6, 4]},
    "prompted": {"A": [3, 2, 2], "B": [4, 2, 3]},
    "turn_based": {"A": [2, 4, 3], "B": [3, 3, 2]},
    "semantic": {"A": [0, 1, 0], "B": [0, 0, 0]},
}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def occurrences(text: str, term: str) -> int:
    words = re.findall(r"[A-Za-z]+", term)
    return len(re.findall(r"\b" + "[ -]".join(words) + r"(?:s|es)?\b", text, re.IGNORECASE))


def counts_of(text: str, terms: Sequence[str]) -> list[tuple[str, int]]:
    found = [(term, occurrences(text, term)) for term in terms]
    return sorted([entry for entry in found if entry[1] > 0], key=lambda entry: (-entry[1], entry[0]))


def output(condition: str, label: str, run: int) -> Entry:
    cluster = next(entry for entry in CLUSTERS if entry["label"] == label)
    strays = STRAYS[label][: STRAY_COUNTS[condition].get(label, [0, 0, 0])[run]]
    sentences = []
    for i, sentence in enumerate(ON_TOPIC[label]):
        sentences.append(sentence)
        sentences += strays[i :: len(ON_TOPIC[label])]
    text = "\n\n".join([" ".join(sentences[:3]), " ".join(sentences[3:])])
    if condition == "turn_based" and label == "B":
        text += (
            "\n\n" + HOSTILE + "\n" + RTL + " " + EMOJI + "\n# no heading | no cell\n- no item **no bold** [no](link)"
        )
    other = [entry for entry in CLUSTERS if entry["id"] != cluster["id"] and entry["id"] not in cluster["depends_on"]]
    foreign = [
        {"term": term, "cluster": entry["id"], "count": number}
        for entry in other
        for term, number in counts_of(text, entry["terminology"])
    ]
    foreign.sort(key=lambda entry: (-entry["count"], entry["term"]))
    tokens = len(text) // 4
    forked = condition != "semantic"
    return {
        "label": label,
        "cluster": cluster["id"],
        "partition": f"{condition}/all/{label}" if forked else f"{condition}/{cluster['id']}",
        "prompt": f"Generate output {label} based on the provided context:",
        "text": text,
        "tokens": tokens,
        "finish": "length" if label == "C" else "end",
        "ttft_ms": 812.5 + 31 * run,
        "prefill_ms": 41.25 if forked else 655.0,
        "decode_ms": 24.5 * tokens,
        "itl_ms": {"median": 24.1, "p95": 31.7},
        "logit_hash": sha(text)[:16],
        "own_terms": sum(number for _, number in counts_of(text, cluster["terminology"])),
        "foreign_terms": sum(entry["count"] for entry in foreign),
        "foreign": foreign,
    }


def partition(
    condition: str,
    name: str,
    clusters: list[str],
    turns: list[int],
    origins: dict[str, int],
    messages: Sequence[Entry] = (),
) -> Entry:
    tokens = sum(origins.values())
    return {
        "name": f"{condition}/{name}",
        "clusters": clusters,
        "turns": turns,
        "context_tokens": tokens,
        "shared_prefix_tokens": tokens,
        "prefilled_tokens": tokens + 12 * len(clusters),
        "reused_tokens": 2 * tokens if name == "all" else 0,
        "generated_tokens": 240 * (3 if name == "all" else 1),
        "messages": list(messages),
        "kv_bytes_used": tokens * 12288,
        "kv_bytes_allocated": 2048 * 12288,
        "prefill_ms": tokens * 0.9,
        "token_sha256": sha(condition + name),
        "origins": origins,
    }


def partitions(condition: str, outputs: list[Entry]) -> list[Entry]:
    everything = [entry["id"] for entry in CLUSTERS]
    turns = list(range(1, 16))
    shared = {"bos": 1, "template": 75, "turn": 983}
    if condition == "sequential":
        return [partition(condition, "all", everything, turns, shared)]
    if condition == "prompted":
        return [
            partition(condition, "all", everything, turns, {"bos": 1, "template": 80, "instruction": 22, "turn": 983})
        ]
    if condition == "turn_based":
        return [partition(condition, "all", everything, turns, {"bos": 1, "template": 75, "marker": 97, "turn": 983})]
    messages = [
        {"label": label, "from": f"semantic/{cluster}", "sha256": sha(entry["text"]), "tokens": entry["tokens"]}
        for label, cluster, entry in (("A", "cluster_1", outputs[0]), ("B", "cluster_2", outputs[1]))
    ]
    return [
        partition(condition, "cluster_1", ["cluster_1"], turns[:5], {"bos": 1, "template": 25, "turn": 393}),
        partition(condition, "cluster_2", ["cluster_2"], turns[5:10], {"bos": 1, "template": 25, "turn": 410}),
        partition(
            condition,
            "cluster_3",
            ["cluster_3"],
            turns[10:],
            {"bos": 1, "template": 30, "frame": 14, "message": sum(entry["tokens"] for entry in messages), "turn": 180},
            messages,
        ),
    ]


def condition(entry: tuple[str, str, str, bool], run: int) -> Entry:
    name, title, separates, isolated = entry
    outputs = [output(name, label, run) for label in "ABC"]
    parts = partitions(name, outputs)
    reasons = []
    if not isolated:
        reasons = [
            "output A: its cache holds 410 tokens of turns of cluster_2",
            "output A: its cache holds 180 tokens of turns of cluster_3",
            "output B: its cache holds 393 tokens of turns of cluster_1",
            "output B: its cache holds 180 tokens of turns of cluster_3",
            "output C: its cache holds 393 tokens of turns of cluster_1",
        ]
    if name == "prompted":
        reasons.append("a reason with <i>markup</i> & | pipes |")
    prefill = sum(part["prefill_ms"] for part in parts) + 100.0
    decode = sum(out["decode_ms"] for out in outputs) / 3
    return {
        "name": name,
        "title": title,
        "separates": separates,
        "isolation": {"achieved": isolated, "reasons": reasons},
        "wall_ms": prefill + decode,
        "prefill_ms": prefill,
        "decode_ms": decode,
        "partitions": parts,
        "outputs": outputs,
    }


def results() -> Entry:
    turns = [
        {"id": i + 1, "cluster": CLUSTERS[i // 5]["id"], "role": "user", "text": text} for i, text in enumerate(TURNS)
    ]
    scenario = {
        "id": "lighthouse <script>alert(1)</script>",
        "domain": "museum",
        "file": "lighthouse.json",
        "sha256": sha("scenario"),
        "turns": turns,
        "clusters": CLUSTERS,
    }
    runs = []
    for run, (seed, greedy) in enumerate([(42, False), (43, False), (42, True)]):
        conditions = [condition(entry, run) for entry in CONDITIONS]
        wall = sum(entry["wall_ms"] for entry in conditions)
        runs.append(
            {
                "scenario": scenario,
                "seed": seed,
                "greedy": greedy,
                "complete": True,
                "wall_ms": wall,
                "first_request_to_last_token_ms": wall - 1.5,
                "conditions": conditions,
            }
        )
    summary = []
    for greedy in (False, True):
        used = [run for run in runs if run["greedy"] == greedy]
        for index, label in enumerate("ABC"):
            for number, entry in enumerate(CONDITIONS):
                outs = [run["conditions"][number]["outputs"][index] for run in used]
                summary.append(
                    {
                        "scenario": scenario["id"],
                        "label": label,
                        "condition": entry[0],
                        "greedy": greedy,
                        "n": len(outs),
                        "foreign_mean": sum(out["foreign_terms"] for out in outs) / len(outs),
                        "own_mean": sum(out["own_terms"] for out in outs) / len(outs),
                    }
                )
    return {
        "format_version": 1,
        "complete": True,
        "incomplete_reason": None,
        "bulkhead": {"version": "0.1.0", "commit": "0123abc"},
        "machine": {
            "cpu": "Test Processor 9000",
            "cores": 2,
            "memory_bytes": 25769803776,
            "os": "Debian GNU/Linux 12, Linux 6.1 x86_64",
        },
        "model": {
            "name": "Tiny <b>Model</b> 0.5B",
            "path": "tiny.gguf",
            "sha256": sha("model"),
            "architecture": "qwen2",
            "bytes": 491400032,
            "context_tokens": 32768,
            "window_tokens": 0,
        },
        "engine": {
            "name": "llama",
            "build": "b1234",
            "grade": "buffer",
            "kv_type_k": "f16",
            "kv_type_v": "f16",
            "kernels": "stock",
            "isolation": "strict",
            "batch_invariant": False,
            "variance": "stock kernels",
            "flash_attention": False,
            "threads": 2,
            "kv_bytes_per_token": 12288,
        },
        "settings": {
            "format": "mlx-seed",
            "format_sha256": sha("format"),
            "prompt_set": None,
            "seed": 42,
            "sampling": {"temperature": 0.7, "top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.0},
            "conditions": [entry[0] for entry in CONDITIONS],
        },
        "memory": {"peak_rss_bytes": 812646400, "kv_bytes_allocated": 201326592},
        "count_differences": [
            {
                "condition": "sequential",
                "other_format": "hf-seed",
                "this_tokens": 1059,
                "other_tokens": 1112,
                "parts": [
                    {"reason": "query of turn 15 not read", "tokens": -52},
                    {"reason": "one begin-of-text token instead of 15", "tokens": -14},
                    {"reason": "separators between turns", "tokens": 13},
                ],
            }
        ],
        "runs": runs,
        "term_summary": summary,
    }


if __name__ == "__main__":
    target = pathlib.Path(__file__).with_name("results_fixture.json")
    target.write_text(json.dumps(results(), indent=1) + "\n", encoding="utf-8")
