#!/usr/bin/env python3
"""Whether a second key can tell by the clock what the first one said: tests/serve/timing_test.cpp's question, asked of running servers.

Before each probe the first key says something, the very text or another one; then the second key says the text. The
area under the curve of their times to a first token is 0.5 where the clock tells nothing, and 1 where it tells all.
llama-server is the control: its keys share its slots, so it must come out clearly above 0.55, or the harness sees
nothing and this ends with 1. With --program our server is asked the same. JSON goes to stdout, progress to stderr.
    bench/serve_timing.py --server LLAMA-SERVER [--program BULKHEAD] -m FILE
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from pathlib import Path

import serve_http
from serve_http import Client, Json, Server

KEYS = ("one", "two")
WARM = 4
TELLS = 0.7  # the control must be above this; what is asked of ours is at most 0.55


def area_under_curve(hits: list[float], misses: list[float]) -> float:
    """How often a miss takes longer than a hit."""
    longer = sum(1.0 if miss > hit else 0.5 if miss == hit else 0.0 for hit in hits for miss in misses)
    return longer / (len(hits) * len(misses))


class Prober:
    def __init__(self, client: Client, words: int, seed: int) -> None:
        self.client = client
        self.words = words
        self.random = random.Random(seed)
        self.cached = 0

    def text(self) -> str:
        """One that nobody has said, as long as any other."""
        return "".join(f"{self.random.randrange(65536):04x} " for _ in range(self.words))

    def first_token(self, key: str, text: str) -> float:
        prompt: str | list[Json] = [{"role": "user", "content": text}] if self.client.chats else text
        stream = self.client.ask(prompt, 1, key)
        self.cached += stream.cached()
        return stream.began - stream.sent  # one token may have no text, being half a character

    def probe(self, hit: bool) -> float:
        said = self.text()
        self.first_token(KEYS[0], said if hit else self.text())
        return self.first_token(KEYS[1], said)


def measure(command: list[str], flags: argparse.Namespace, chats: bool) -> Json:
    with Server(command, ",".join(KEYS)) as server:
        prober = Prober(Client(server, chats), flags.words, flags.seed)
        for turn in range(WARM):
            prober.probe(turn % 2 == 0)
        order = [True] * (flags.probes // 2) + [False] * (flags.probes - flags.probes // 2)
        prober.random.shuffle(order)
        times: dict[bool, list[float]] = {True: [], False: []}
        prober.cached = 0
        for done, hit in enumerate(order):
            times[hit].append(prober.probe(hit))
            if done % 50 == 49:
                print(f"{Path(command[0]).name}: {done + 1} of {flags.probes} probes", file=sys.stderr, flush=True)
    return {
        "area": area_under_curve(times[True], times[False]),
        "probes": flags.probes,
        "words": flags.words,
        "median_ms_hit": statistics.median(times[True]) * 1000,
        "median_ms_miss": statistics.median(times[False]) * 1000,
        "cached_tokens_told": prober.cached,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", required=True, help="llama-server")
    parser.add_argument("--program", help="bulkhead, asked the same")
    parser.add_argument("-m", "--model", required=True, help="a GGUF file")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("--probes", type=int, default=400)
    parser.add_argument("--words", type=int, default=30)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--chats", action="store_true", help="as chats; default: as completions, which every model knows")
    flags = parser.parse_args()
    same = ["-m", flags.model, "-t", str(flags.threads)]
    document: Json = {"benchmark": "serve_timing", "machine": serve_http.machine(), "commit": serve_http.commit(), "model": Path(flags.model).name}
    document["llama_server"] = measure([flags.server, *same], flags, flags.chats)
    if flags.program:
        document["bulkhead"] = measure([flags.program, "serve", *same, "-c", "4096", "--partitions", "4"], flags, flags.chats)
    print(json.dumps(document, indent=1))
    if document["llama_server"]["area"] <= TELLS:
        print(f"serve_timing: the control does not tell: {document['llama_server']['area']:.3f}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
