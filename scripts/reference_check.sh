#!/usr/bin/env bash
# What other programs say: token counts, scenario files, text measures and statistics; in a Python environment of its own under the cache folder.
set -euo pipefail
cd "$(dirname "$0")/.."
model=${BULKHEAD_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/models}/gemma-3-270m-q4_k_m.gguf
python=$(dirname "$(scripts/python_environment.sh reference tests/reference/requirements.txt)")
"$python/ruff" check tests/reference tests/structure tests/data bench scripts
"$python/mypy" --strict tests/reference tests/structure tests/data bench/*.py scripts/*.py
"$python/python" tests/reference/scenario_schema.py
"$python/python" tests/reference/metric_cases.py
"$python/python" tests/reference/statistics_cases.py
"$python/python" tests/reference/dataset_schema.py
exec "$python/python" tests/reference/hf_token_counts.py --model "$model"
