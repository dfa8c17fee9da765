# SPDX-License-Identifier: MIT
"""What differs between the frameworks: a network that computes logits, and the cache object of one sequence.

All caches keep every cell, also of layers with a sliding window: there the window is a mask. So a fork at any earlier position is a copy of
cells, and nothing that is computed for one sequence reads or writes another's object.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]


class Cache(ABC):
    """Cells of one sequence, for `capacity` tokens, allocated as a whole when the first are written."""

    capacity: int

    @property
    @abstractmethod
    def length(self) -> int:
        """Tokens whose cells are there."""

    @property
    @abstractmethod
    def allocated_bytes(self) -> int: ...

    @abstractmethod
    def copy(self, tokens: int, capacity: int) -> Cache:
        """A new object with the cells of the first `tokens` tokens, sharing no memory with this one."""

    @abstractmethod
    def cells(self) -> list[npt.NDArray[np.uint8]]:
        """The bytes of all cells: keys, values of each layer."""


@dataclass(frozen=True)
class Description:
    """What a network says of itself: the fields of Facts that it knows."""

    engine: str
    build: str
    model_name: str
    architecture: str
    model_bytes: int
    vocabulary: int
    trained_context_tokens: int
    context_limit: int  # most tokens this framework computes rightly
    context_limit_reason: str
    window_tokens: int
    cell_bytes: tuple[int, ...]  # of one token: keys, values of each layer
    kv_type: str
    kernels: str
    threads: int
    flash_attention: bool
    digest: str  # of the weights: tells models of one name and size apart
    eos: tuple[int, ...]  # tokens that end a generation, as the model's files say
    implementation: dict[str, str]  # Facts::implementation, without what the engine does for every framework

    @property
    def kv_bytes_per_token(self) -> int:
        return sum(self.cell_bytes)


class Network(ABC):
    """A model with its weights. One thread."""

    chunk = 256  # tokens computed at a time in a prefill
    description: Description
    tokenizer: Any  # a fast tokenizer of transformers

    @abstractmethod
    def new_cache(self, capacity: int) -> Cache: ...

    @abstractmethod
    def restored_cache(self, capacity: int, cells: list[memoryview]) -> Cache:
        """A new cache with what cells() gave. Sizes have been checked; there is at least one token."""

    @abstractmethod
    def peak_device_bytes(self) -> int:
        """Most memory ever held on a GPU, as the framework counts it; 0 on a CPU, and where it does not count."""

    @abstractmethod
    def forward(self, cache: Cache, tokens: list[int], every: bool, positions: list[int] | None = None) -> Logits:
        """Computes the cells of `tokens` and the logits after each, or after the last only. [len(tokens) or 1, vocabulary]
        `positions`: of each token; None: those after the cache's last cell."""
