# SPDX-License-Identifier: MIT
"""Draws tokens from logits as src/engines/llama/sampler.cpp does: penalties, top-k, top-p, min-p, temperature, draw.

Equal: the order of work, every rule and tie, and the random numbers (std::mt19937 with 53 bits a draw is numpy's RandomState). Not equal to
the last bit: weights are exponentials in double precision here, in single precision there, so a draw differs where the random number falls
within about 1e-6 of a border between two tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence as ListLike
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import SeamError

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Sampling:
    """SamplingOptions of include/bulkhead/options.h, with the numbers as single-precision floats."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    repeat_last_n: int
    seed: int


def sampling_from(options: dict[str, Any]) -> Sampling:
    """Reads and checks the sampling fields of a request's options. `usage` for one outside its range."""

    def number(field: str) -> float:
        return float(np.float32(float(options[field])))

    sampling = Sampling(
        number("temperature"),
        int(options["top_k"]),
        number("top_p"),
        number("min_p"),
        number("repeat_penalty"),
        int(options["repeat_last_n"]),
        int(options["seed"]),
    )

    def require(holds: bool, field: str, value: float, text: str) -> None:
        if not holds:
            raise SeamError("usage", f"{field} is {value:g}, it must be {text}", field)

    require(math.isfinite(sampling.temperature), "temperature", sampling.temperature, "a number")
    require(sampling.top_k >= 0, "top_k", sampling.top_k, "0 (off) or more")
    require(0 < sampling.top_p <= 1, "top_p", sampling.top_p, "above 0 and at most 1 (off)")
    require(0 <= sampling.min_p <= 1, "min_p", sampling.min_p, "between 0 (off) and 1")
    penalty = sampling.repeat_penalty
    require(penalty > 0 and math.isfinite(penalty), "repeat_penalty", penalty, "above 0, 1 is off")
    require(sampling.repeat_last_n >= 0, "repeat_last_n", sampling.repeat_last_n, "0 (off) or more")
    return sampling


class Sampler:
    """One per generation, with a generator of its own. `forbidden` tokens are never drawn."""

    def __init__(self, sampling: Sampling, forbidden: ListLike[int]) -> None:
        self._sampling = sampling
        self._forbidden = np.asarray(forbidden, dtype=np.int64)
        self._random = np.random.RandomState(sampling.seed)

    def draw(self, logits: Logits, history: ListLike[int]) -> int | None:
        """None: no logit is a finite number. `history`: all tokens of the sequence, for the penalty."""
        adjusted = self._adjusted(logits, history)
        known = adjusted[~np.isnan(adjusted)]
        largest = known.max() if known.size else np.float32(-np.inf)
        if not np.isfinite(largest):
            return None
        sampling = self._sampling
        if sampling.temperature <= 0:
            return int(np.argmax(adjusted == largest))
        if sampling.top_k > 0 or sampling.top_p < 1 or sampling.min_p > 0:
            return self._draw_filtered(adjusted, largest)
        with np.errstate(under="ignore"):
            weights = np.exp((adjusted - largest).astype(np.float64) / sampling.temperature)
        weights[np.isnan(weights)] = 0
        return self._pick(weights)

    def _adjusted(self, logits: Logits, history: ListLike[int]) -> Logits:
        sampling = self._sampling
        recent = min(len(history), sampling.repeat_last_n)
        penalize = sampling.repeat_penalty != 1 and recent > 0
        if not penalize and self._forbidden.size == 0:
            return logits
        adjusted = logits.copy()
        if penalize:
            tokens = np.unique(np.asarray(history[-recent:], dtype=np.int64))
            penalty = np.float32(sampling.repeat_penalty)
            chosen = logits[tokens]
            adjusted[tokens] = np.where(chosen > 0, chosen / penalty, chosen * penalty)
        adjusted[self._forbidden] = -np.inf
        return adjusted

    def _draw_filtered(self, logits: Logits, largest: np.float32) -> int:
        sampling = self._sampling
        with np.errstate(under="ignore"):
            weights = np.exp((logits - largest).astype(np.float64))
        weights[np.isnan(weights)] = 0
        # Best first; of equal ones the smaller token.
        order = np.lexsort((np.arange(logits.size), -logits))
        order = order[weights[order] > 0]
        if 0 < sampling.top_k < logits.size:
            order = order[: sampling.top_k]
        sorted_weights = weights[order]
        kept = order.size
        if sampling.min_p > 0:
            kept = max(1, int(np.count_nonzero(sorted_weights >= sampling.min_p)))
        if sampling.top_p < 1:
            enough = np.cumsum(sorted_weights) >= sampling.top_p * sorted_weights.sum()
            kept = min(kept, int(np.argmax(enough)) + 1 if enough.any() else kept)
        order = order[:kept]
        with np.errstate(under="ignore"):
            tempered = np.exp((logits[order] - largest).astype(np.float64) / sampling.temperature)
        return int(order[self._pick(tempered)])

    def _pick(self, weights: npt.NDArray[np.float64]) -> int:
        sums = np.cumsum(weights)
        place = int(np.searchsorted(sums, self._random.random_sample() * sums[-1], side="right"))
        # Rounding may leave a little at the end: the last one with any weight takes it.
        return min(place, int(np.flatnonzero(weights)[-1]))
