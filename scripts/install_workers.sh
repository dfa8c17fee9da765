#!/usr/bin/env bash
# The workers of other frameworks (--engine transformers, --engine mlx) in an environment of their own under the cache folder, in pinned
# versions. Does nothing when they are there.
#   scripts/install_workers.sh
# PyTorch for the CPU: where pip finds torch 2.13.0+cpu (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL) it takes that: 1.2 GB in all. PyPI's own build
# for Linux carries CUDA, which is several GB more and runs on the CPU too.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
venv=${BULKHEAD_WORKERS:-$cache/workers}
requirements=workers/requirements.txt
key=$(cksum <"$requirements" | cut -d' ' -f1)
mkdir -p "$cache"
exec 9>"$cache/workers.lock"
flock 9 2>/dev/null || true  # absent on macOS: then two first runs at once do the work twice
if [ "$(cat "$venv/.complete" 2>/dev/null)" != "$key" ]; then
  echo "install_workers: installing torch, transformers and mlx_lm into $venv (some minutes and 1 to 6 GB, once)" >&2
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
fi
# Our own package lies beside them; it is copied anew where it differs, since a worker may be starting from it just now.
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
if ! diff -rq -x __pycache__ workers/bulkhead_workers "$packages/bulkhead_workers" >/dev/null 2>&1; then
  rm -rf "$packages/bulkhead_workers"
  cp -R workers/bulkhead_workers "$packages/"
fi
[ -f "$venv/.complete" ] || echo "$key" >"$venv/.complete"
