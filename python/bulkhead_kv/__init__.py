# SPDX-License-Identifier: MIT
"""Isolated KV-cache partitions for one language model.

    import bulkhead_kv as bulkhead

    model = bulkhead.Model("gemma-3-270m")
    with model.open("engineer") as engineer, model.open("board") as board:
        engineer.prefill("The pump failed at 3 bar. The cause was")
        print(engineer.generate(max_tokens=24, temperature=0))
        board.receive(engineer.last_output("cause"))  # the only thing that crosses
"""

from __future__ import annotations

from bulkhead_kv._native import version
from bulkhead_kv.calls import Cancel
from bulkhead_kv.embedder import Embedder
from bulkhead_kv.errors import (
    BadInputError,
    BulkheadError,
    ClosedError,
    CorruptError,
    IncompleteError,
    InterferenceError,
    InternalError,
    InterruptedCallError,
    RemoteError,
    ResourceError,
    UnsupportedError,
    UsageError,
)
from bulkhead_kv.experiment import Evaluation, RunResult, evaluate, program, pull, run
from bulkhead_kv.generation import GenerateOptions, Generation, Logprobs, Token, TokenBias, TokenLogprob, Usage
from bulkhead_kv.model import Message, Model, ModelOptions, Partition

__version__ = version()

__all__ = [
    "BadInputError",
    "BulkheadError",
    "Cancel",
    "ClosedError",
    "CorruptError",
    "Embedder",
    "Evaluation",
    "GenerateOptions",
    "Generation",
    "IncompleteError",
    "InterferenceError",
    "InternalError",
    "InterruptedCallError",
    "Logprobs",
    "Message",
    "Model",
    "ModelOptions",
    "Partition",
    "RemoteError",
    "ResourceError",
    "RunResult",
    "Token",
    "TokenBias",
    "TokenLogprob",
    "UnsupportedError",
    "Usage",
    "UsageError",
    "evaluate",
    "program",
    "pull",
    "run",
    "version",
]
