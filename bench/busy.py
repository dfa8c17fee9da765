#!/usr/bin/env python3
"""How much longer the main job takes beside busy loops: bulkhead, another build of it (--against) and llama-server.

Conditions sequential and semantic, greedy, in turns over all loads and sides; minima count. The other build shows what a
change of ours cost on a quiet machine: it must give the same texts and logits, or the bench ends with 1. The spread of
one program against itself is the difference of the minima of its even and odd turns. JSON goes to stdout, a Markdown
table to stderr.     bench/busy.sh [flags of this]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import program_run
from program_run import Json

LOOP = [sys.executable, "-c", "while True: pass"]
CONDITIONS = "sequential,semantic"
SERVER = "llama-server"


@contextlib.contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many processes that do nothing but compute, for as long as the block lasts."""
    loops = [subprocess.Popen(LOOP) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def bulkhead(flags: argparse.Namespace, program: str) -> tuple[float, Any, Json]:
    """Seconds from the first prefill to the last token, what came out, and the machine."""
    document = program_run.run(
        program, flags.scenario, flags.model, "-t", str(flags.threads), "--conditions", CONDITIONS, "--temp", "0", "-n", str(flags.predict)
    )
    conditions = document["runs"][0]["conditions"]
    shown = [(output["text"], output["logit_hash"]) for condition in conditions for output in condition["outputs"]]
    return sum(condition["wall_ms"] for condition in conditions) / 1000, shown, program_run.facts_of(document)


def server(flags: argparse.Namespace) -> float:
    """The same outputs by llama-server, one slot with its prompt cache."""
    command = [flags.job, "--scenario", flags.scenario, "--server", flags.server, "-m", flags.model, "--conditions", CONDITIONS]
    command += ["--format", "bulkhead", "-n", str(flags.predict), "-t", str(flags.threads), "-r", "1", "--peers", "llama-server, one slot, prompt"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    rows = json.loads(done.stdout)["rows"]
    return float(next(row["min_seconds"] for row in rows if row["name"].startswith(SERVER)))


def measure(flags: argparse.Namespace) -> Json:
    programs = {"bulkhead": flags.program} | ({"against": flags.against} if flags.against else {})
    seconds: dict[str, dict[int, list[float]]] = {}
    first: Any = None
    facts: Json = {}
    for turn in range(flags.repeat):
        for load in flags.loads:
            with busy_loops(load):
                for side in list(programs) if turn % 2 == 0 else list(reversed(programs)):
                    took, shown, about = bulkhead(flags, programs[side])
                    first = first or shown
                    if shown != first:
                        raise SystemExit(f"busy: {side} beside {load} loops gives other texts or logits")
                    facts = about if side == "bulkhead" else facts
                    seconds.setdefault(side, {}).setdefault(load, []).append(took)
                    print(f"{turn + 1}/{flags.repeat} {side}, {load} loops: {took:.2f} s", file=sys.stderr)
                if turn < flags.server_repeat:
                    seconds.setdefault(SERVER, {}).setdefault(load, []).append(server(flags))
                    print(f"{turn + 1}/{flags.repeat} {SERVER}, {load} loops: {seconds[SERVER][load][-1]:.2f} s", file=sys.stderr)
    return {**facts, "seconds": seconds}


def spread(times: list[float]) -> float:
    """Of one program against itself: how far the minima of its even and odd turns lie apart, as a share."""
    even, odd = min(times[::2]), min(times[1::2] or times)
    return abs(even - odd) / min(even, odd)


def markdown(document: Json, loads: list[int]) -> str:
    lines = [program_run.heading([document]) + "; seconds, minima, and in brackets times alone", ""]
    lines.append("| | " + " | ".join("alone" if load == 0 else f"{load} loops" for load in loads) + " |")
    lines.append("|---" * (len(loads) + 1) + "|")
    for side, by_load in document["seconds"].items():
        alone = min(by_load[loads[0]])
        cells = [f"{min(by_load[load]):.2f} ({min(by_load[load]) / alone:.2f})" if load in by_load else "" for load in loads]
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    quiet = {side: by_load[loads[0]] for side, by_load in document["seconds"].items()}
    if "against" in quiet:
        lines += ["", f"Alone: {min(quiet['bulkhead']) / min(quiet['against']):.3f} times the other build; spread of that one against itself {spread(quiet['against']):.3f}."]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="bulkhead")
    parser.add_argument("--against", help="another build of bulkhead")
    parser.add_argument("--job", required=True, help="bulkhead_bench_main_job")
    parser.add_argument("--server", required=True, help="llama-server")
    parser.add_argument("-m", "--model", default="qwen2.5-coder-0.5b")
    parser.add_argument("--scenario", default="scenarios/hospital_pharmacy.json")
    parser.add_argument("-n", "--predict", type=int, default=48, help="new tokens of each output")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--repeat", type=int, default=9)
    parser.add_argument("--server-repeat", type=int, default=3, help="of these turns, how many llama-server takes part in")
    parser.add_argument("--loads", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2, 4], help="busy loops beside it; the first is the reference")
    flags = parser.parse_args()
    document = measure(flags)
    document = {"benchmark": "busy", "model": flags.model, "threads": flags.threads, "new_tokens": flags.predict, "repeat": flags.repeat, **document}
    print(markdown(document, flags.loads), file=sys.stderr)
    print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
