#!/usr/bin/env python3
"""Aggregate decode and prefill of Bulkhead against stock llama.cpp, one cell after the other and both sides in turns.

Each cell runs in a process of its own on either side: llama-batched-bench (stock) and bulkhead_bench_kernels (ours) do the same work
with the same prompt length, steps, sequences, cache types and threads, and time the same part of it. Ours also draws a token from the
logits in each step, which stock does not; that time is inside ours and shown in the raw figures. A cell's ratio is the quotient of the
two sides' shortest times over all repetitions. bench/kernels.sh builds both programs and calls this.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
CACHE_PAD = 256  # both sides round a sequence's cells up to a multiple of this


@dataclass(frozen=True)
class Table:
    name: str
    prompt: int  # tokens in the cache when decoding begins
    sequences: tuple[int, ...]
    prefill: int  # tokens of the prefill cell


TABLES = {
    "short": Table("short", 64, (1, 2, 3, 4, 8, 16), 512),
    "long": Table("long", 1088, (1, 3, 8), 1088),
}


@dataclass
class Cell:
    table: Table
    kind: str  # "decode" or "prefill"
    prompt: int
    sequences: int
    steps: int
    stock: list[float] = field(default_factory=list)  # seconds
    ours: list[float] = field(default_factory=list)
    drawing: list[float] = field(default_factory=list)  # of ours, where it can be told

    @property
    def tokens(self) -> int:
        return self.prompt if self.kind == "prefill" else self.sequences * self.steps

    @property
    def ratio(self) -> float:
        return min(self.stock) / min(self.ours)

    def document(self) -> Json:
        return {
            "table": self.table.name,
            "kind": self.kind,
            "prompt_tokens": self.prompt,
            "sequences": self.sequences,
            "steps": self.steps,
            "ratio": self.ratio,
            "stock_tokens_per_second": self.tokens / min(self.stock),
            "ours_tokens_per_second": self.tokens / min(self.ours),
            "stock_seconds": self.stock,
            "ours_seconds": self.ours,
            "ours_drawing_seconds": self.drawing,
        }


@dataclass(frozen=True)
class Sides:
    stock: str
    stock_flags: list[str]
    stock_flash: str
    ours: str
    ours_flags: list[str]
    ours_flash: str
    threads: int
    kv_type: str

    def ask_ours(self, *arguments: str) -> Any:
        return json.loads(output_of([self.ours, *arguments]))

    def run_ours(self, model: str, cell: Cell) -> Json:
        work = ["--prompt", str(cell.prompt)]
        if cell.kind == "decode":
            work += ["--steps", str(cell.steps), "--sequences", str(cell.sequences)]
        settings = ["-m", model, "-t", str(self.threads), "--flash-attention", self.ours_flash, "--kv-type", self.kv_type]
        answer: Json = self.ask_ours(cell.kind, *settings, *work, *self.ours_flags)
        return answer

    def run_stock(self, path: str, cell: Cell) -> float:
        each = -(-(cell.prompt + cell.steps + 1) // CACHE_PAD) * CACHE_PAD
        settings = ["-m", path, "-t", str(self.threads), "-tb", str(self.threads), "-fa", self.stock_flash]
        settings += ["-ctk", self.kv_type, "-ctv", self.kv_type, "-c", str(cell.sequences * each)]
        work = ["-npp", str(cell.prompt), "-ntg", str(cell.steps), "-npl", str(cell.sequences), "-pps"]
        lines = output_of([self.stock, *settings, *work, "--output-format", "jsonl", *self.stock_flags]).splitlines()
        answers = [json.loads(line) for line in lines if line.startswith("{")]
        if len(answers) != 1:
            raise SystemExit(f"kernels: {self.stock} gave {len(answers)} results for one cell")
        seconds: float = answers[0]["t_pp" if cell.kind == "prefill" else "t_tg"]
        return seconds


def output_of(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"kernels: {' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def cells_of(tables: list[str], steps: int, only: list[int]) -> list[Cell]:
    cells = []
    for table in (TABLES[name] for name in tables):
        chosen = [n for n in table.sequences if not only or n in only]
        cells += [Cell(table, "decode", table.prompt, n, steps) for n in chosen]
        cells.append(Cell(table, "prefill", table.prefill, 1, 1))
    return cells


def fastest(bandwidths: list[list[Json]]) -> list[Json]:
    """Per number of threads the best of all measurements, taken before, between and after the cells."""
    rows = zip(*bandwidths, strict=True)
    return [max(row, key=lambda entry: float(entry["bytes_per_second"])) for row in rows]


def measure(sides: Sides, model: str, cells: list[Cell], repeat: int) -> Json:
    document: Json = sides.ask_ours("facts", "-m", model, "-t", str(sides.threads), *sides.ours_flags)
    bandwidths: list[list[Json]] = [sides.ask_ours("bandwidth")]
    for turn in range(repeat):
        for cell in cells:
            # The side that goes first changes from turn to turn: what warms up or slows down the machine hits both.
            for side in ("stock", "ours") if turn % 2 == 0 else ("ours", "stock"):
                if side == "stock":
                    cell.stock.append(sides.run_stock(document["model_path"], cell))
                    continue
                answer = sides.run_ours(model, cell)
                cell.ours.append(answer["seconds"])
                cell.drawing.append(answer.get("drawing_seconds", 0.0))
            name = f"{cell.table.name} {cell.kind} x{cell.sequences}"
            print(f"{turn + 1}/{repeat} {model} {name}: stock {cell.stock[-1]:.3f} s, ours {cell.ours[-1]:.3f} s", file=sys.stderr)
        bandwidths.append(sides.ask_ours("bandwidth"))
    del document["model_path"]  # says nothing that the hash does not
    document["bandwidth"] = fastest(bandwidths)
    document["cells"] = [cell.document() for cell in cells]
    document["one_sequence"] = one_sequence(document, sides.threads)
    return document


def one_sequence(document: Json, threads: int) -> list[Json]:
    """How much of the memory's speed decoding one sequence uses: each token reads every weight once."""
    speeds = {entry["threads"]: entry["bytes_per_second"] for entry in document["bandwidth"]}
    limit = speeds.get(threads, max(speeds.values()))
    weights = document["weight_bytes_per_step"]
    return [
        {
            "table": cell["table"],
            "stock_share_of_bandwidth": weights * cell["stock_tokens_per_second"] / limit,
            "ours_share_of_bandwidth": weights * cell["ours_tokens_per_second"] / limit,
        }
        for cell in document["cells"]
        if cell["kind"] == "decode" and cell["sequences"] == 1
    ]


def markdown(document: Json) -> str:
    machine = document["models"][0]["machine"]
    head = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}; commit {document['commit']}, {document['models'][0]['engine_build']}; "
        f"{document['threads']} threads, KV {document['kv_type']}, flash attention stock {document['stock_flash_attention']}, "
        f"ours {document['ours_flash_attention']}; minima of {document['repeat']}, sides in turns. Cells: ours / stock in tokens per second (ratio)."
    )
    lines = [head]
    for model in document["models"]:
        for table in document["tables"]:
            cells = [cell for cell in model["cells"] if cell["table"] == table]
            heads = [str(cell["sequences"]) if cell["kind"] == "decode" else f"prefill {cell['prompt_tokens']}" for cell in cells]
            texts = [f"{cell['ours_tokens_per_second']:.1f} / {cell['stock_tokens_per_second']:.1f} ({cell['ratio']:.2f})" for cell in cells]
            lines += ["", f"| {model['model']}, {TABLES[table].prompt} tokens in the cache | " + " | ".join(heads) + " |"]
            lines += ["|---" * (len(cells) + 1) + "|", "| aggregate | " + " | ".join(texts) + " |"]
        speeds = ", ".join(f"{entry['bytes_per_second'] / 1e9:.1f} GB/s with {entry['threads']}" for entry in model["bandwidth"])
        lines += ["", f"Memory reads {speeds} threads; one decode step of {model['model']} reads {model['weight_bytes_per_step'] / 1e6:.0f} MB of weights:"]
        for share in model["one_sequence"]:
            shares = f"ours {share['ours_share_of_bandwidth']:.0%}, stock {share['stock_share_of_bandwidth']:.0%}"
            lines += [f"one sequence, {TABLES[share['table']].prompt} tokens in the cache: {shares} of the bandwidth."]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-m", "--model", action="append", required=True, help="a name of the manifest or a GGUF file; may be given often")
    parser.add_argument("--ours", required=True, help="bulkhead_bench_kernels")
    parser.add_argument("--stock", required=True, help="llama-batched-bench")
    parser.add_argument("--ours-flags", default="", help="further flags of ours, separated by spaces")
    parser.add_argument("--stock-flags", default="", help="further flags of stock, separated by spaces")
    parser.add_argument("--ours-fa", choices=("on", "off"), default="on")
    parser.add_argument("--stock-fa", choices=("on", "off"), default="on")
    parser.add_argument("--tables", default="short,long", help="of: " + ", ".join(TABLES))
    parser.add_argument("--sequences", default="", help="only these numbers of sequences, separated by commas")
    parser.add_argument("--steps", type=int, default=32, help="decode steps")
    parser.add_argument("-t", "--threads", type=int, default=2)
    parser.add_argument("-r", "--repeat", type=int, default=5)
    parser.add_argument("--kv-type", default="f16")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("-o", "--output", choices=("json", "md"), default="json", help="what goes to stdout; with json the table goes to stderr")
    flags = parser.parse_args()
    tables = flags.tables.split(",")
    if unknown := [name for name in tables if name not in TABLES]:
        parser.error(f"unknown table {unknown[0]}")
    only = [int(number) for number in flags.sequences.split(",") if number]
    sides = Sides(
        flags.stock, flags.stock_flags.split(), flags.stock_fa, flags.ours, flags.ours_flags.split(), flags.ours_fa, flags.threads, flags.kv_type
    )
    document: Json = {
        "benchmark": "kernels",
        "commit": flags.commit,
        "threads": flags.threads,
        "kv_type": flags.kv_type,
        "stock_flash_attention": flags.stock_fa,
        "ours_flash_attention": flags.ours_fa,
        "ours_flags": flags.ours_flags,
        "stock_flags": flags.stock_flags,
        "repeat": flags.repeat,
        "tables": tables,
    }
    document["models"] = [measure(sides, model, cells_of(tables, flags.steps, only), flags.repeat) for model in flags.model]
    if flags.output == "md":
        print(markdown(document))
    else:
        print(markdown(document), file=sys.stderr)
        print(json.dumps(document, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
