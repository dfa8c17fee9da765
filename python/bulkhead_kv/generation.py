# SPDX-License-Identifier: MIT
"""What goes into a generation, and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict


class TokenBias(TypedDict):
    """A number added to the logit of one token; None forbids it."""

    token: int
    bias: float | None


class GenerateOptions(TypedDict, total=False):
    """Fields and defaults of the C++ GenerateOptions and SamplingOptions (include/bulkhead/options.h)."""

    temperature: float
    """0.7; 0 or less is greedy."""
    top_k: int
    """Keep the k likeliest tokens; 0: all."""
    top_p: float
    """Keep this much probability; 1: all."""
    min_p: float
    """Drop tokens below this share of the best one's probability; 0: none."""
    repeat_penalty: float
    """Divides the logits of recent tokens; 1: off."""
    repeat_last_n: int
    """How many tokens the penalty looks at: 64."""
    seed: int
    """42; each generation has a generator of its own."""
    max_tokens: int
    """256."""
    ignore_end: bool
    """Go on after an end token."""
    stop: Sequence[str]
    """End as soon as the text contains one of these; it is cut off the text."""
    hash_logits: bool
    """Keep a hash of the logits that each token was drawn from."""
    speculate: bool
    """Verify drafts looked up in the context, where that gives the very same tokens: True."""
    logit_bias: Sequence[TokenBias]
    logprobs: int | None
    """For each token how likely it was, and so many likeliest ones (0 to 20)."""
    grammar: str
    """Rules in GBNF that the text must follow."""
    grammar_triggers: Sequence[str]
    """Words of the text from which on the rules hold."""
    grammar_prefix: str
    """What the rules have read already."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """How likely a token was: the natural log of its probability."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Of a drawn token, and of the likeliest ones, best first."""

    logprob: float
    top: tuple[TokenLogprob, ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """The outcome of one generation."""

    text: str
    """Without the stop string and the end token."""
    tokens: tuple[int, ...]
    """As drawn, those of the stop string and the end token included."""
    finish: Literal["end", "length", "stop", "cancelled"]
    logit_hashes: tuple[str, ...]
    """16 hex digits for each token; empty unless asked for."""
    logprobs: tuple[Logprobs, ...]
    """Empty unless asked for."""
    ttft_ms: float
    """From the call to the first token."""
    decode_ms: float
    """From the first to the last token."""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Token:
    """One token as it is drawn. `text` may be empty where a character is not complete yet."""

    id: int
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What a partition holds and what that cost; counts are tokens (PartitionUsage in include/bulkhead/model.h)."""

    name: str
    tokens: int
    prefilled_tokens: int
    reused_tokens: int
    generated_tokens: int
    removed_tokens: int
    messages_received: int
    kv_bytes_used: int
    kv_bytes_allocated: int
    token_sha256: str


def _logprob(value: float | None) -> float:
    return float("-inf") if value is None else value


def generation_of(document: Mapping[str, Any]) -> Generation:
    """From the JSON of the library."""
    return Generation(
        text=document["text"],
        tokens=tuple(document["tokens"]),
        finish=document["finish"],
        logit_hashes=tuple(document["logit_hashes"]),
        logprobs=tuple(
            Logprobs(_logprob(one["logprob"]), tuple(TokenLogprob(other["token"], _logprob(other["logprob"])) for other in one["top"]))
            for one in document["logprobs"]
        ),
        ttft_ms=document["ttft_ms"],
        decode_ms=document["decode_ms"],
    )
