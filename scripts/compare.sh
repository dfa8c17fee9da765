#!/usr/bin/env bash
# One scenario on three engines with the same weights, from a fresh clone: sets everything up, builds, pulls Gemma 3 270M, installs the
# workers, converts the model for each framework, runs, and says where the report lies. What is there already is not done again.
#   scripts/compare.sh [SCENARIO.json] [further flags of `bulkhead compare`]
# Without flags: greedy, 16 tokens an output, two conditions. mlx_lm on a CPU takes minutes even for these.
set -euo pipefail
cd "$(dirname "$0")/.."
scenario=scenarios/hospital_pharmacy.json
if [ $# -gt 0 ] && [ -f "$1" ]; then
  scenario=$1
  shift
fi
[ $# -gt 0 ] || set -- --temp 0 -n 16 --conditions sequential,semantic --out runs/three-engines
step() { echo "compare: $*" >&2; }
step "1 of 4: tools and libraries"
scripts/setup.sh
scripts/build.sh program bulkhead_program
bulkhead=build/program/src/bulkhead
step "2 of 4: the model"
model=$("$bulkhead" pull gemma-3-270m)
step "3 of 4: the workers, and the same weights for each"
converted=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/converted/gemma-3-270m
scripts/install_workers.sh
"$bulkhead" convert "$model" "$converted" --dtype f32 --only gguf,checkpoint,mlx >&2
step "4 of 4: the engines, one after another"
exec "$bulkhead" compare "$scenario" --on "llama:$converted/model-f32.gguf" --on "transformers:$converted/checkpoint-f32" \
  --on "mlx:$converted/mlx-f32" "$@"
