# SPDX-License-Identifier: MIT
"""Two partitions of one model, and a message between them: the smallest useful program, as examples/two_partitions.cpp.

    python examples/python/two_partitions.py [MODEL]
"""

from __future__ import annotations

import sys

import bulkhead_kv as bulkhead

model = bulkhead.Model(sys.argv[1] if len(sys.argv) > 1 else "gemma-3-270m")
engineer = model.open("engineer")
board = model.open("board")
engineer.prefill("The pump failed at 3 bar. The cause was")
cause = engineer.generate(max_tokens=24, temperature=0)
board.prefill("Engineering wrote:")
board.receive(engineer.last_output("cause"))  # the only thing that crosses
board.prefill("\nIn one sentence:")
summary = board.generate(max_tokens=24, temperature=0)
print(f"{cause}\n---\n{summary}")
