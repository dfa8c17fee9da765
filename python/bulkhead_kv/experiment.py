# SPDX-License-Identifier: MIT
"""The experiment and the evaluation, by the program that comes with the package; results as pandas frames."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bulkhead_kv.errors import IncompleteError, UsageError, error_of_exit_code

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Json = dict[str, Any]


def program() -> Path:
    """The `bulkhead` program: BULKHEAD_PROGRAM, that of this installation, or the first in PATH."""
    named = os.environ.get("BULKHEAD_PROGRAM")
    if named:
        return Path(named)
    beside = Path(sysconfig.get_path("scripts")) / "bulkhead"
    if beside.is_file():
        return beside
    found = shutil.which("bulkhead")
    if found is None:
        raise UsageError("usage", "the program bulkhead is not here", advice="set BULKHEAD_PROGRAM", exit_code=2)
    return Path(found)


def _call(arguments: Sequence[str], quiet: bool) -> str:
    """What the program writes to its standard output. Ctrl-C reaches it, too: it keeps what is done and ends."""
    errors = subprocess.PIPE if quiet else None
    with subprocess.Popen([str(program()), *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8") as child:
        try:
            out, said = child.communicate()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGINT)
            child.communicate()
            raise
    if child.returncode == 0:
        return out
    raise error_of_exit_code(child.returncode, (said or f"bulkhead {arguments[0]} ended with {child.returncode}").strip())


def _flags(options: Mapping[str, object]) -> list[str]:
    """`ctx_size=512` as `--ctx-size 512`; True as a flag alone; a list as one with commas."""
    flags = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            flags.append(flag)
        elif isinstance(value, (list, tuple)):
            flags += [flag, ",".join(str(one) for one in value)]
        elif value is not False and value is not None:
            flags += [flag, str(value)]
    return flags


def pull(model: str, *, quiet: bool = False) -> Path:
    """Downloads a model of the manifest (`bulkhead models`) and checks it; does nothing when it is there."""
    return Path(_call(["pull", model], quiet).strip().splitlines()[-1])


@dataclass(frozen=True)
class RunResult:
    """results.json of a run (docs/results-format.md)."""

    document: Json

    @property
    def complete(self) -> bool:
        return bool(self.document["complete"])

    def rows(self) -> list[Json]:
        """One for each output: where it came from, its text, and what it cost."""
        fields = ("label", "cluster", "partition", "prompt", "text", "tokens", "finish", "ttft_ms", "decode_ms", "own_terms", "foreign_terms")
        return [
            {
                "scenario": run["scenario"]["id"],
                "seed": run["seed"],
                "condition": condition["name"],
                "isolated": condition["isolation"]["achieved"],
                **{name: output[name] for name in fields},
            }
            for run in self.document["runs"]
            for condition in run["conditions"]
            for output in condition["outputs"]
        ]

    def frame(self) -> pd.DataFrame:
        """rows() as a table; needs pandas."""
        import pandas

        return pandas.DataFrame(self.rows())

    def plot(self, measure: str = "foreign_terms", axes: Axes | None = None) -> Axes:
        """The mean of a measure of each condition; needs pandas and matplotlib."""
        means = self.frame().groupby("condition", sort=False)[measure].mean()
        drawn = means.plot.bar(ax=axes, rot=0, ylabel=measure.replace("_", " "), title=self.document["model"]["name"])
        return cast("Axes", drawn)


def run(scenario: str | Path | Mapping[str, Any], *, model: str, out: str | Path | None = None, quiet: bool = True, **options: object) -> RunResult:
    """Runs a scenario (a file, a data set, an export of a chat, or a scenario document) under the four conditions.

    `options` are the flags of `bulkhead run` with `_` for `-`: `conditions=["semantic"], predict=48, temp=0`. `out`: the
    run folder to keep. `quiet=False` shows progress on stderr.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scenario.json"
        if isinstance(scenario, Mapping):
            file.write_text(json.dumps(scenario), encoding="utf-8")
            scenario = file
        kept = Path(out) if out is not None else Path(folder) / "run"
        said = _call(["run", str(scenario), "-m", model, "--out", str(kept), "--json", *_flags(options)], quiet)
    result = RunResult(json.loads(said))
    if not result.complete:
        raise IncompleteError("incomplete", str(result.document["incomplete_reason"]), exit_code=8)
    return result


@dataclass(frozen=True)
class Evaluation:
    """What `bulkhead eval` found (docs/evaluation.md)."""

    document: Json
    folder: Path

    @property
    def complete(self) -> bool:
        return bool(self.document["complete"])

    def cells(self) -> pd.DataFrame:
        """One row for each question under each condition (cells.csv); needs pandas."""
        import pandas

        return pandas.read_csv(self.folder / "cells.csv")

    def comparisons(self) -> pd.DataFrame:
        """Differences between conditions, with their intervals; needs pandas."""
        import pandas

        return pandas.json_normalize(self.document["analysis"]["comparisons"])


def evaluate(dataset: str | Path, *, model: str, out: str | Path, quiet: bool = True, **options: object) -> Evaluation:
    """Measures what isolation changes, over a data set of conversations. A folder that is there is gone on with."""
    said = _call(["eval", str(dataset), "-m", model, "--out", str(out), "--json", *_flags(options)], quiet)
    return Evaluation(json.loads(said), Path(out))


def main() -> int:
    """`python -m bulkhead_kv`: the program."""
    return subprocess.call([str(program()), *sys.argv[1:]])
