# SPDX-License-Identifier: MIT
"""The four conditions on a conversation, as a table and a picture.

    python examples/python/experiment.py SCENARIO [MODEL] [PICTURE.png]
"""

from __future__ import annotations

import sys

import matplotlib.pyplot as plt

import bulkhead_kv as bulkhead

scenario, *rest = sys.argv[1:]
model = rest[0] if rest else "gemma-3-270m"
result = bulkhead.run(scenario, model=model, conditions=["sequential", "semantic"], predict=32, temp=0)
table = result.frame()
print(table.groupby("condition", sort=False)[["tokens", "foreign_terms"]].mean().to_string())
if len(rest) > 1:
    result.plot("foreign_terms")
    plt.savefig(rest[1])
