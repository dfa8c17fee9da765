#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Mutated run folders through `bulkhead report` and `bulkhead verify`, and damaged stores of evaluations through `report`.

    scripts/hostile/runs.py PROGRAM [--tries 650] [--stores 200] [--seed 1] [--keep FOLDER] [--memory GIB] [MODEL.gguf]

Every document of a folder is another's word. A folder that was changed ends with code 4; one whose sums were made anew, as a forger would,
with any code but 1, and none ends by a signal or without an end. A damaged store gives the same cells or code 4. Prints
"N tries, N signals, N hangs, N wrong codes" and ends with 1 when any was wrong; what was wrong is kept with --keep.
"""
import argparse
import collections
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import subprocess
import sys
import tempfile

SECONDS = 60
MEMORY_GIB = 6
VALUES = [None, True, False, 0, -1, 1, 1e308, -1e308, 1e-320, 0.5, 1000, 100000, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1, -2**63, 2**70, "", " ", "\0", "ok", "\x1b[31m",
          "a" * 70000, "{}", "../../etc/passwd", "/dev/zero", "llama", "fake", "f" * 16, "f" * 64, "\u202e", [], {}, [[]], [1, 2, 3], [[1], [2]], {"a": 1}, [None], [""]]
SCENARIO = {
    "id": "small", "domain": "test",
    "semantic_clusters": {"cluster_1": {"task_type": "pumps", "turns": [1], "terminology": ["pump"]},
                          "cluster_2": {"task_type": "money", "turns": [2], "terminology": ["budget"]},
                          "cluster_3": {"task_type": "synthesis", "turns": [3], "depends_on": ["cluster_1"]}},
    "turns": [{"turn_id": 1, "cluster": 1, "role": "user", "type": "instruction", "instruction": "Look at the pump."},
              {"turn_id": 2, "cluster": 2, "role": "user", "type": "instruction", "instruction": "Look at the budget."},
              {"turn_id": 3, "cluster": 3, "role": "user", "type": "instruction", "instruction": "Join both."}]}


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def pretty(value):
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")


def seal(folder):
    """manifest.json with the sums of what lies there now; left as it is where it is no manifest any more."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_bytes())
        for name in manifest["documents"]:
            manifest["documents"][name] = sha256((folder / name).read_bytes())
        manifest.pop("sha256", None)
        manifest["sha256"] = sha256(pretty(manifest))
    except (ValueError, TypeError, KeyError, OSError):
        return
    path.write_bytes(pretty(manifest))


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], path + (key,))
    elif isinstance(value, list):
        for index in range(len(value)):
            yield from places(value[index], path + (index,))


def at(value, path):
    for key in path:
        value = value[key]
    return value


def change_tree(rng, document):
    document = json.loads(json.dumps(document))
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        every = [path for path in places(document) if path]
        if not every:
            return document
        path = rng.choice(every)
        holder, key = at(document, path[:-1]), path[-1]
        act = rng.randrange(6)
        if act == 0:
            holder[key] = rng.choice(VALUES)
        elif act == 1:
            del holder[key]
        elif act == 2:
            holder[key] = json.loads(json.dumps(at(document, rng.choice(every))))
        elif act == 3 and isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(holder[key])))
        elif act == 4 and isinstance(holder[key], int):
            holder[key] = holder[key] + rng.choice([-1, 1, 2, 1000, 10**9, 10**18, -10**18])
        elif act == 5 and isinstance(holder[key], str):
            spot = rng.randrange(len(holder[key]) + 1)
            holder[key] = holder[key][:spot] + rng.choice(["{", "}", "\0", "\n", "\x1b[2J", "<b>", "|", "\ud800", "x" * 5000]) + holder[key][spot:]
    return document


def change_bytes(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        if not data:
            break
        spot, act = rng.randrange(len(data)), rng.randrange(5)
        if act == 0:
            data[spot] ^= 1 << rng.randrange(8)
        elif act == 1:
            data[spot] = rng.randrange(256)
        elif act == 2:
            del data[spot:spot + rng.randrange(1, 50)]
        elif act == 3:
            data[spot:spot] = data[rng.randrange(len(data)):][:rng.randrange(1, 100)]
        else:
            data = data[:spot]
    return bytes(data)


def change_lines(rng, data):
    """A transcript: its lines in another order, twice, left out, or changed one by one."""
    lines = data.decode("utf-8", "surrogateescape").splitlines()
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        spot, act = rng.randrange(len(lines)), rng.randrange(5)
        if act == 0:
            lines.insert(rng.randrange(len(lines) + 1), lines[spot])
        elif act == 1 and len(lines) > 1:
            del lines[spot]
        elif act == 2:
            other = rng.randrange(len(lines))
            lines[spot], lines[other] = lines[other], lines[spot]
        else:
            try:
                lines[spot] = json.dumps(change_tree(rng, json.loads(lines[spot])))
            except ValueError:
                pass
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")


def change(rng, name, data):
    if rng.random() < 0.3:
        return change_bytes(rng, data)
    if name.endswith(".jsonl"):
        return change_lines(rng, data)
    return pretty(change_tree(rng, json.loads(data)))


class Campaign:
    def __init__(self, program, work, keep, memory):
        self.program, self.work, self.keep, self.memory = program, work, keep, memory
        self.count = collections.Counter()
        self.codes = collections.Counter()

    def run(self, *arguments):
        def limit():
            if self.memory:
                resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return subprocess.run([self.program, *arguments], capture_output=True, timeout=SECONDS, preexec_fn=limit, check=False)

    def wrong(self, what, folder, words):
        self.count[what] += 1
        print(f"{what}: {words}", file=sys.stderr)
        if self.keep:
            shutil.copytree(folder, pathlib.Path(self.keep) / f"{sum(self.count.values())}", dirs_exist_ok=True)

    def tried(self, folder, command, allowed):
        """The outcome when it was an allowed one, else None."""
        self.count["tries"] += 1
        words = " ".join(command)
        try:
            ended = self.run(*command)
        except subprocess.TimeoutExpired:
            self.wrong("hangs", folder, words)
            return None
        self.codes[(command[0], ended.returncode)] += 1
        last = ended.stderr.decode("utf-8", "replace").strip()[-300:]
        if ended.returncode < 0:
            self.wrong("signals", folder, f"{words}: signal {-ended.returncode}: {last}")
        elif ended.returncode not in allowed:
            self.wrong("wrong codes", folder, f"{words}: code {ended.returncode}, not of {sorted(allowed)}: {last}")
        elif "--json" in command:
            try:
                json.loads(ended.stdout)
                return ended
            except ValueError:
                self.wrong("wrong codes", folder, f"{words}: stdout is no JSON")
        else:
            return ended
        return None


def try_runs(campaign, rng, base, tries):
    folder = campaign.work / "mutated"
    for _ in range(tries):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        name = rng.choice(["results.json", "results.json", "transcript.jsonl", "transcript.jsonl", "transcript.jsonl", "manifest.json", "samples.jsonl"])
        before = (folder / name).read_bytes()
        after = change(rng, name, before)
        (folder / name).write_bytes(after)
        forged = rng.random() < 0.8
        if forged:
            seal(folder)
        command = [rng.choice(["report", "verify"]), str(folder), "-q"] + (["--json"] if rng.random() < 0.5 else [])
        if not forged and after != before:
            allowed = {4}
            # Spaces between the fields of a manifest say nothing.
            if name == "manifest.json":
                allowed.add(0)
        elif command[0] == "report":
            allowed = {0, 3, 4, 2}
        else:
            allowed = {0, 2, 3, 4, 5, 6, 7, 8}
        campaign.tried(folder, command, allowed)


def try_stores(campaign, rng, base, tries):
    folder = campaign.work / "store"
    data = (base / "cells.sqlite").read_bytes()
    cells = (base / "cells.csv").read_bytes()
    for _ in range(tries):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(base, folder)
        bit = rng.randrange(len(data) * 8)
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / "cells.sqlite").write_bytes(bytes(damaged))
        ended = campaign.tried(folder, ["report", str(folder), "-q"], {0, 4})
        if ended is not None and ended.returncode == 0 and (folder / "cells.csv").read_bytes() != cells:
            campaign.wrong("wrong codes", folder, f"bit {bit} of cells.sqlite changed numbers silently")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model", nargs="?", help="a GGUF file to run on too; the fake engine alone without")
    parser.add_argument("--tries", type=int, default=650)
    parser.add_argument("--stores", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep")
    parser.add_argument("--memory", type=int, default=MEMORY_GIB, help="GiB that the program may address; 0: no limit, as sanitizers need it")
    parser.add_argument("--dataset", default=str(pathlib.Path(__file__).parents[2] / "datasets/bulkhead-bench/conversations.jsonl"))
    flags = parser.parse_args()
    rng = random.Random(flags.seed)
    with tempfile.TemporaryDirectory(prefix="bulkhead-runs-") as name:
        work = pathlib.Path(name)
        campaign = Campaign(os.path.abspath(flags.program), work, flags.keep, flags.memory << 30)
        (work / "scenario.json").write_text(json.dumps(SCENARIO))
        bases = []
        for engine in [["--engine", "fake"]] + ([["-m", os.path.abspath(flags.model)]] if flags.model else []):
            bases.append(work / f"run{len(bases)}")
            made = campaign.run("run", str(work / "scenario.json"), *engine, "-n", "4", "--conditions", "sequential,semantic", "-q", "--out", str(bases[-1]))
            if made.returncode != 0:
                sys.exit(made.stderr.decode())
        for number, base in enumerate(bases):
            try_runs(campaign, rng, base, flags.tries // len(bases) + (flags.tries % len(bases) if number == 0 else 0))
        if flags.stores:
            made = campaign.run("eval", flags.dataset, "--engine", "fake", "--conversations", "1", "--conditions", "semantic,sequential", "-q", "--out", str(work / "evaluation"))
            if made.returncode != 0:
                sys.exit(made.stderr.decode())
            try_stores(campaign, rng, work / "evaluation", flags.stores)
        count = campaign.count
        print(", ".join(f"{command} {code}: {times}" for (command, code), times in sorted(campaign.codes.items())), file=sys.stderr)
        print(f"{count['tries']} tries, {count['signals']} signals, {count['hangs']} hangs, {count['wrong codes']} wrong codes")
        sys.exit(1 if count["signals"] or count["hangs"] or count["wrong codes"] else 0)


if __name__ == "__main__":
    main()
