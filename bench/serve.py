#!/usr/bin/env python3
"""`bulkhead serve` beside llama-server, on the same model, threads and requests, in turns and never at the same time.

llama-server runs as it comes and with the best of the flag sets of serve_flags.json, which a search of one round
chooses for each measure. Each workload gets a server of its own, started for it and warmed by one short request.
Answers are greedy and of exact length. Medians over the rounds count; minima stand beside them. JSON goes to
stdout, a Markdown table and progress to stderr.     bench/serve.sh [flags of this]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import serve_http
from serve_http import Client, Json, OtherWork, Server, ServerFailed
from serve_work import QUICK, WORKLOADS, Asked, Sizes, warm

OURS = "bulkhead"
DEFAULTS = "defaults"
SETS = Path(__file__).with_name("serve_flags.json")


@dataclass(frozen=True)
class Measure:
    workload: str
    figure: str
    is_better_when_less: bool
    goal_to_defaults: float | None = None  # how many times as good as llama-server's defaults, and as its best
    goal_to_best: float | None = None
    goal: float | None = None  # or our own figure, at most

    @property
    def name(self) -> str:
        return f"{self.workload}.{self.figure}"


MEASURES = [
    *(
        Measure(f"agents-{way}", figure, less, to_defaults, to_best)
        for way in ("sequential", "concurrent")
        for figure, less, to_defaults, to_best in (
            ("first_token_median", True, 5.0, 2.0),
            ("first_token_p95", True, None, None),
            ("output_tokens_per_second", False, None, 3.0),
        )
    ),
    Measure("topics", "first_token_median", True),
    Measure("topics", "last_over_first", True, goal=1.1),
    Measure("pause", "longest_pause_steps", True, goal=3.0),
    Measure("pause", "long_first_token", True),
]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.sizes = QUICK if flags.quick else Sizes()
        self.sets: dict[str, Json] = json.loads(SETS.read_text(encoding="utf-8"))["sets"]
        self.asked: dict[int, Asked] = {}
        self.failed: dict[str, str] = {}
        self.chats = False
        self.isolation = ""

    def command(self, side: str) -> list[str]:
        same = ["-m", self.flags.model, "-t", str(self.flags.threads)]
        if side == OURS:
            return [self.flags.program, "serve", *same]
        return [self.flags.server, *same, *self.sets[side]["flags"]]

    def sizes_of(self, turn: int) -> Sizes:
        """Turn 0 is the search."""
        return self.sizes if turn > 0 else self.sizes.shorter()

    def learn(self) -> None:
        """Whether the model chats, and the requests, whose lengths are tokens of this model."""
        with Server(self.command(OURS)) as server:
            props = server.ask("GET", "/props")[1]
            self.chats = bool(props["chat_template"])
            self.isolation = str(props["isolation"])
            for turn in range(self.flags.rounds + 1):
                self.asked[turn] = Asked.of(self.sizes_of(turn), self.flags.seed + turn, server.tokens)

    def run(self, side: str, workload: str, turn: int) -> Json | None:
        begin = time.monotonic()
        server = Server(self.command(side))
        try:
            with server:
                client = Client(server, self.chats)
                warm(client)
                others = OtherWork(server)
                figures = WORKLOADS[workload](client, self.asked[turn], self.sizes_of(turn))
                figures["others_cores"] = others.cores()
        except ServerFailed as error:
            if side == OURS:
                raise
            self.failed[f"{side}, {workload}"] = str(error)
            say(f"  {side}, {workload}: {error}")
            return None
        figures["peak_rss_bytes"] = server.peak_rss_bytes
        shown = "  ".join(f"{measure.figure} {figures[measure.figure]:.3f}" for measure in MEASURES if measure.workload == workload)
        say(f"  {workload:18} {side:22} {time.monotonic() - begin:6.1f} s  {shown}  others {figures['others_cores'] or 0:.2f}")
        return figures

    def search(self) -> dict[str, dict[str, Json]]:
        """Figures by flag set and workload, of one round on requests that are not measured again."""
        results: dict[str, dict[str, Json]] = {}
        names = self.flags.sets or list(self.sets)
        if self.flags.search_from:
            results = json.loads(Path(self.flags.search_from).read_text(encoding="utf-8"))["search"]
            names = self.flags.sets or []
        if names:
            say("search of llama-server's flags")
        for name in names:
            for workload in self.sets[name].get("workloads", list(WORKLOADS)):
                if workload not in self.flags.workloads:
                    continue
                if (figures := self.run(name, workload, 0)) is not None:
                    results.setdefault(name, {})[workload] = figures
        return results

    def measure(self, best: dict[str, str]) -> dict[str, dict[str, list[Json]]]:
        """Figures of each round by workload and side."""
        rounds: dict[str, dict[str, list[Json]]] = {}
        for turn in range(self.flags.rounds):
            say(f"round {turn + 1} of {self.flags.rounds}")
            for workload in self.flags.workloads:
                chosen = [best[measure.name] for measure in MEASURES if measure.workload == workload and measure.name in best]
                sides = list(dict.fromkeys([OURS, DEFAULTS, *chosen]))
                for side in sides if turn % 2 == 0 else reversed(sides):
                    if (figures := self.run(side, workload, turn + 1)) is not None:
                        rounds.setdefault(workload, {}).setdefault(side, []).append(figures)
        return rounds


def best_of(search: dict[str, dict[str, Json]]) -> dict[str, str]:
    """The set with the best figure of each measure."""
    best = {}
    for measure in MEASURES:
        of_sets = {
            name: float(results[measure.workload][measure.figure])
            for name, results in search.items()
            if measure.workload in results and is_whole(results[measure.workload])
        }
        if of_sets:
            best[measure.name] = (min if measure.is_better_when_less else max)(of_sets, key=lambda name: of_sets[name])
    return best


def is_whole(figures: Json) -> bool:
    """A pause counts only where all streams ran beside the long prompt."""
    return bool(figures.get("streams_beside") == figures.get("streams"))


def values_of(measure: Measure, figures: list[Json]) -> Json:
    values = [float(one[measure.figure]) for one in figures]
    return {"median": statistics.median(values), "best": min(values) if measure.is_better_when_less else max(values), "values": values}


def compare(rounds: dict[str, dict[str, list[Json]]]) -> list[Json]:
    """Each measure with medians and the best of the rounds, ours and llama-server's, and how many times ours is as good."""
    rows = []
    for measure in MEASURES:
        sides = rounds.get(measure.workload, {})
        row: Json = {"measure": measure.name, "goal": measure.goal, "goal_to_defaults": measure.goal_to_defaults, "goal_to_best": measure.goal_to_best}
        found = {side: values_of(measure, figures) for side, figures in sides.items() if is_whole(figures[0])}
        row |= {side: found[side] for side in (OURS, DEFAULTS) if side in found}
        if theirs := [side for side in found if side != OURS]:
            # Of all sets that were measured: the search only says which those are.
            side = (min if measure.is_better_when_less else max)(theirs, key=lambda side: found[side]["median"])
            row["best"] = {"set": side, **found[side]}
        for name in (DEFAULTS, "best"):
            if OURS in row and name in row:
                ratio = row[name]["median"] / row[OURS]["median"]
                row[f"times_{name}"] = ratio if measure.is_better_when_less else 1 / ratio
        if OURS in row:
            rows.append(row)
    return rows


def markdown(document: Json) -> str:
    machine = document["machine"]
    lines = [
        (
            f"{document['model']}, {document['threads']} threads, {machine['cpu']} ({machine['cores']} cores); commit {document['commit']}; "
            f"medians of {document['rounds_measured']} rounds, the best of them in brackets; "
            f"isolation {document['isolation']}; other programs took up to {document['others_cores_most']:.2f} of a core"
        ),
        "",
        "| measure | bulkhead | llama-server, defaults | times | llama-server, best flags | times |",
        "|---|---|---|---|---|---|",
    ]
    for row in document["measures"]:
        cells = [row["measure"]]
        for name in (OURS, DEFAULTS, "best"):
            side = row.get(name)
            flags = f" {side['set']}" if side and "set" in side else ""
            cells.append(f"{side['median']:.3f} ({side['best']:.3f}){flags}" if side else "")
            if name != OURS:
                cells.append(f"{row[f'times_{name}']:.2f}" if f"times_{name}" in row else "")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def sha256_of(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="bulkhead")
    parser.add_argument("--server", required=True, help="llama-server")
    parser.add_argument("-m", "--model", required=True, help="a GGUF file")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=19)
    parser.add_argument("--quick", action="store_true", help="a short check of the bench itself: its figures say nothing")
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(WORKLOADS), help=f"some of {','.join(WORKLOADS)}")
    parser.add_argument("--sets", type=lambda text: text.split(","), help="flag sets to search; default: all of serve_flags.json, or none beside --search-from")
    parser.add_argument("--search-from", help="JSON of an earlier run, whose search stands; sets that are named are searched too")
    return parser.parse_args()


def main() -> int:
    flags = arguments()
    if flags.quick:
        flags.rounds, flags.sets = 1, flags.sets or [DEFAULTS, "np8-sps90", "np12-kvu"]
    bench = Bench(flags)
    bench.learn()
    search = bench.search()
    best = best_of(search)
    rounds = bench.measure(best)
    document: Json = {
        "benchmark": "serve",
        "machine": serve_http.machine(),
        "commit": serve_http.commit(),
        "model": Path(flags.model).name,
        "model_sha256": sha256_of(flags.model),
        "threads": flags.threads,
        "isolation": bench.isolation,
        "chats": bench.chats,
        "quick": flags.quick,
        "seed": flags.seed,
        "sizes": asdict(bench.sizes),
        "rounds_measured": flags.rounds,
        "others_cores_most": max((one["others_cores"] or 0 for sides in rounds.values() for ones in sides.values() for one in ones), default=0),
        "measures": compare(rounds),
        "searched_best": best,
        "sets": bench.sets,
        "failed": bench.failed,
        "search": search,
        "rounds": rounds,
    }
    say(markdown(document))
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
