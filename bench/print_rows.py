#!/usr/bin/env python3
"""Adds the commit to a benchmark's JSON on stdin, prints its rows for people on stderr and the JSON on stdout."""

from __future__ import annotations

import json
import sys


def main(commit: str) -> None:
    document = json.load(sys.stdin)
    document["commit"] = commit
    for row in document["rows"]:
        line = f"{row['min_seconds']:7.2f} s  {row['ratio_to_bulkhead']:5.2f} x  prefilled {row['prefilled_tokens']:6}  {row['name']}"
        print(line, file=sys.stderr)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main(sys.argv[1])
