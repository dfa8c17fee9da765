# SPDX-License-Identifier: MIT
"""What is read of a model's files beside what the frameworks read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xxhash

PIECE = 1 << 22


def weight_files(path: Path) -> list[Path]:
    """A GGUF file itself, or the weights in a checkpoint folder."""
    return [path] if path.is_file() else sorted(path.glob("*.safetensors"))


def digest_of(path: Path) -> str:
    """XXH3-128 of the weights, read whole: name and size are not enough to tell two models apart."""
    digest = xxhash.xxh3_128()
    for file in weight_files(path):
        with file.open("rb") as stream:
            while piece := stream.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()


def end_tokens(tokenizer: Any, *configurations: Any) -> tuple[int, ...]:
    """Tokens that end a generation, as tokenizer, generation settings and model configuration name them."""
    found: set[int] = set()
    for named in (tokenizer.eos_token_id, *(getattr(each, "eos_token_id", None) for each in configurations)):
        if isinstance(named, int):
            found.add(named)
        elif isinstance(named, (list, tuple)):
            found.update(int(token) for token in named)
    return tuple(sorted(found))
