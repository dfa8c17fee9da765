#!/usr/bin/env bash
# Types and style of the framework workers: mypy (strict) and ruff, in pinned versions.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_workers.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
python=${BULKHEAD_WORKERS:-$cache/workers}/bin/python
tools=$cache/workers-check-1
if [ ! -f "$tools/.complete" ]; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check ruff==0.17.6 mypy==2.4.1
  touch "$tools/.complete"
fi
checked=(workers/bulkhead_workers workers/tests tests/engines/tiny_checkpoints.py tests/engines/embedding_reference.py tests/engines/converted_weights.py workers/confounds_table.py)
"$tools/bin/ruff" check --config workers/pyproject.toml "${checked[@]}" tests/serve/*.py
MYPYPATH=workers "$tools/bin/mypy" --config-file workers/pyproject.toml --python-executable "$python" "${checked[@]}"
MYPYPATH=workers "$tools/bin/mypy" --config-file workers/pyproject.toml \
  --python-executable "$(scripts/clients_python.sh -c 'import sys; print(sys.executable)')" tests/serve/*.py
