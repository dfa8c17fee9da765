#!/usr/bin/env bash
# Runs Python with the clients that the server is tested with, in pinned versions and an environment
# of their own under the cache folder, which is made first where it is not there.
#   scripts/clients_python.sh ARGUMENTS OF PYTHON
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
requirements=$root/tests/serve/requirements.txt
venv=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/clients-$(cksum <"$requirements" | cut -d' ' -f1)
if [ ! -f "$venv/.complete" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
  touch "$venv/.complete"
fi
exec "$venv/bin/python" "$@"
