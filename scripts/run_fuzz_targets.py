#!/usr/bin/env python3
"""Runs built libFuzzer targets and writes what each came to, as a table.   Called by scripts/test_fuzz.sh, which says how."""

import argparse
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "fuzz"
# Seeds that lie elsewhere in the repository, and the longest input where 4 KiB do not hold one.
SEEDS = {
    "json_document": ["formats", "models"],
    "scenario": ["scenarios"],
    "results": ["tests/data"],
}
MOST_BYTES = {"results": 100_000, "scenario": 20_000}
STATUS = re.compile(r"#(\d+)\s+\S+\s+cov: (\d+) ft: (\d+) corp: (\d+)/(\S+).*exec/s: (\d+)")


def run(target: str, seconds: int, dry: int) -> tuple[list[str], bool]:
    learnt, found = BUILD / "corpus" / target, BUILD / "found"
    learnt.mkdir(parents=True, exist_ok=True)
    found.mkdir(exist_ok=True)
    seeds = [ROOT / "tests" / "fuzz" / "corpus" / target, *(ROOT / seed for seed in SEEDS.get(target, []))]
    corpora = [learnt, *(seed for seed in seeds if seed.is_dir())]
    command = [
        "nice", "-n", "5", BUILD / "tests" / "fuzz" / f"fuzz_{target}", *corpora,
        f"-max_total_time={seconds}", f"-max_len={MOST_BYTES.get(target, 4096)}", "-timeout=60", "-rss_limit_mb=2560",
        f"-artifact_prefix={found}/{target}-",
    ]  # fmt: skip
    began = time.monotonic()
    executions, edges, features, corpus = 0, 0, 0, "0"
    newest = began
    ended = "time"
    lines: list[str] = []
    with subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines = [*lines[-60:], line]
            if not (status := STATUS.match(line)):
                continue
            executions = int(status[1])
            if int(status[2]) > edges:
                newest = time.monotonic()
            edges, features, corpus = int(status[2]), int(status[3]), f"{status[4]} ({status[5]})"
            if dry and ended == "time" and time.monotonic() - newest > dry:
                ended = f"no new edge for {dry} s"
                process.send_signal(signal.SIGINT)
    took = time.monotonic() - began
    well = process.returncode == 0 or ended != "time"
    if not well:
        ended = "FAILED"
        sys.stderr.write("".join(lines))
    row = [target, f"{took:.0f}", f"{executions:,}", f"{executions / max(took, 0.1):,.0f}", str(edges), str(features), corpus, ended]
    return row, well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="seconds for each target, and names of targets")
    parser.add_argument("--dry", type=int, default=0, help="end a target when no new edge came for so many seconds")
    arguments = parser.parse_intermixed_args()
    seconds = next((int(word) for word in arguments.words if word.isdigit()), 30)
    known = sorted(path.stem for path in (ROOT / "tests" / "fuzz").glob("*.cc"))
    targets = [word for word in arguments.words if not word.isdigit()] or known
    print("| target | s | inputs | inputs/s | edges | features | corpus | ended by |\n|---|---|---|---|---|---|---|---|", flush=True)
    failed = 0
    for target in targets:
        row, well = run(target, seconds, arguments.dry)
        failed += not well
        print(f"| {' | '.join(row)} |", flush=True)
    print(f"{len(targets) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
