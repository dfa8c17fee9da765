#!/usr/bin/env bash
# Tests the Python package as a build folder gives it: types, style, and its tests.   scripts/python_package.sh BUILD_FOLDER [pytest arguments]
# scripts/wheel.sh does the same with a wheel in a clean environment.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift
requirements=python/requirements.txt
venv=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/python-$(cksum <"$requirements" | cut -d' ' -f1)
if [ ! -f "$venv/.complete" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
  touch "$venv/.complete"
fi
"$venv/bin/ruff" check python examples/python
"$venv/bin/mypy"
rm -rf "$build/python"
cmake --install "$build" --component python --prefix "$build/python" >/dev/null
export BULKHEAD_PROGRAM=$build/src/bulkhead PYTHONPATH=$build/python PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=$build/python
"$venv/bin/python" -m pytest -q -p no:cacheprovider python/tests "$@"
for example in two_partitions agents; do
  [ -n "$("$venv/bin/python" "examples/python/$example.py" "${BULKHEAD_PYTHON_MODEL:-gemma-3-270m}" | tee /dev/stderr)" ]
done
"$venv/bin/python" examples/python/experiment.py scenarios/hospital_pharmacy.json gemma-3-270m "$build/python/conditions.png"
test -s "$build/python/conditions.png"
