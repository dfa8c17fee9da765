#!/usr/bin/env bash
# What other programs say: token counts, scenario files, text measures and statistics; in a Python environment of its own under the cache folder.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
requirements=tests/reference/requirements.txt
key=$(cksum <"$requirements" | cut -d' ' -f1)
venv=$cache/reference-$key
if [ ! -f "$venv/.complete" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
  touch "$venv/.complete"
fi
model=${BULKHEAD_MODELS:-$cache/models}/gemma-3-270m-q4_k_m.gguf
python=$venv/bin
"$python/ruff" check tests/reference tests/structure tests/data bench scripts
"$python/mypy" --strict tests/reference tests/structure tests/data bench/*.py scripts/*.py
"$python/python" tests/reference/scenario_schema.py
"$python/python" tests/reference/metric_cases.py
"$python/python" tests/reference/statistics_cases.py
"$python/python" tests/reference/dataset_schema.py
exec "$python/python" tests/reference/hf_token_counts.py --model "$model"
