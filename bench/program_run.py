"""One run of `bulkhead run` for a bench, and what the program says of itself."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def run(program: str, scenario: str, model: str, *flags: str) -> Json:
    """The results document; the run's folder is not kept. A run that fails ends the bench with its error."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "run", scenario, "-m", model, "--json", "--out", str(Path(folder) / "run"), *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    document: Json = json.loads(done.stdout)
    return document


def facts_of(document: Json) -> Json:
    return {"commit": document["bulkhead"]["commit"], "machine": document["machine"], "model_sha256": document["model"]["sha256"]}


def heading(rows: list[Json]) -> str:
    """Machine and commit for a table of rows that hold facts_of()."""
    machine = rows[0]["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['os']}; commit {rows[0]['commit']}"
