#!/usr/bin/env bash
# A Python environment with the packages of a requirements file, under the cache folder, made where it is not there. Prints its python.
#   scripts/python_environment.sh NAME REQUIREMENTS
set -euo pipefail
venv=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/$1-$(cksum <"$2" | cut -d' ' -f1)
if [ ! -f "$venv/.complete" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$2" >&2
  touch "$venv/.complete"
fi
echo "$venv/bin/python"
