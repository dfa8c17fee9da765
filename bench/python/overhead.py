#!/usr/bin/env python3
"""What a generate call costs beside the library's own time for it: Python's wall time less first token and decode.

    PYTHONPATH=build/release/python bench/python/overhead.py [MODEL] [TOKENS] [ROUNDS]     JSON on stdout
"""

from __future__ import annotations

import json
import sys
import time

import bulkhead_kv as bulkhead


def main() -> None:
    model_name = sys.argv[1] if len(sys.argv) > 1 else "gemma-3-270m"
    tokens = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    model = bulkhead.Model(model_name, context_tokens=1024)
    shares = []
    for listens in (False, True):
        best = float("inf")
        for number in range(rounds):
            with model.open(f"overhead {number}") as partition:
                partition.prefill("The pump failed at 3 bar. The cause was")
                heard: list[bulkhead.Token] = []
                begin = time.perf_counter()
                generation = partition.generate(max_tokens=tokens, temperature=0, ignore_end=True, on_token=heard.append if listens else None)
                wall = (time.perf_counter() - begin) * 1000
                inside = generation.ttft_ms + generation.decode_ms
                best = min(best, (wall - inside) / wall)
        shares.append({"on_token": listens, "overhead_share": best})
    print(json.dumps({"benchmark": "python_overhead", "model": model.description, "tokens": tokens, "rounds": rounds, "rows": shares}, indent=1))


if __name__ == "__main__":
    main()
