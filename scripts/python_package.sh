#!/usr/bin/env bash
# Tests the Python package as a build folder gives it: types, style, and its tests.   scripts/python_package.sh BUILD_FOLDER [pytest arguments]
# scripts/wheel.sh does the same with a wheel in a clean environment.
set -euo pipefail
cd "$(dirname "$0")/.."
build=$1
shift
python=$(scripts/python_environment.sh python python/requirements.txt)
"$python" -m ruff check --config python/ruff.toml python examples/python bench/python
"$python" -m mypy --config-file python/mypy.ini
rm -rf "$build/python"
cmake --install "$build" --component python --prefix "$build/python" >/dev/null
export BULKHEAD_PROGRAM=$build/src/bulkhead PYTHONPATH=$build/python PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR=$build/python
"$python" -m pytest -q -p no:cacheprovider python/tests "$@"
for example in two_partitions agents; do
  said=$("$python" "examples/python/$example.py" gemma-3-270m)
  [ -n "$said" ]
  echo "$said"
done
"$python" examples/python/experiment.py scenarios/hospital_pharmacy.json gemma-3-270m "$build/python/conditions.png"
test -s "$build/python/conditions.png"
