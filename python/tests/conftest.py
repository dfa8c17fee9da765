# SPDX-License-Identifier: MIT
"""Models that tests share. The fake engine is for exact logic; real models must have been pulled."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import bulkhead_kv as bulkhead

MODELS = Path(os.environ.get("BULKHEAD_MODELS") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bulkhead" / "models")


@pytest.fixture(scope="session")
def fake() -> Iterator[bulkhead.Model]:
    with bulkhead.Model("", engine="fake", context_tokens=512) as model:
        yield model


@pytest.fixture(scope="session")
def gemma() -> Iterator[bulkhead.Model]:
    if not (MODELS / "gemma-3-270m-q4_k_m.gguf").is_file():
        pytest.skip("the model gemma-3-270m is not pulled")
    with bulkhead.Model("gemma-3-270m", context_tokens=1024) as model:
        yield model
