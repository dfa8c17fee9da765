#!/usr/bin/env bash
# The seed experiment's confounds, each switched alone: its Hugging Face side as it was meant (hf-seed, f32, temperature 0.7, no top-p, caches
# of their own), then one thing changed at a time. Runs what is not there yet and writes the table.
#   scripts/confounds.sh MODEL OUT.md        MODEL: what -m takes with --engine transformers
# What is run: SCENARIOS (default: two of ours), CONFOUND_SEEDS (3), CONFOUND_TOKENS (64 an output), CONFOUND_THREADS (0),
# CONFOUNDS (names of variants, the first that all are compared with always among them; default: all).
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -eq 2 ] || { echo "usage: scripts/confounds.sh MODEL OUT.md" >&2; exit 2; }
model=$1 out=$2
bulkhead=${BULKHEAD:-build/program/src/bulkhead}
if [ ! -x "$bulkhead" ]; then
  scripts/setup.sh
  scripts/build.sh program bulkhead_program
fi
scripts/install_workers.sh
name=$(basename "$model" .gguf)
read -ra scenarios <<<"${SCENARIOS:-scenarios/hospital_pharmacy.json scenarios/city_tram.json}"
shared=(--engine transformers -m "$model" --conditions sequential,semantic --temp 0.7 --top-k 0 --min-p 0
  --repeat "${CONFOUND_SEEDS:-3}" -n "${CONFOUND_TOKENS:-64}" -t "${CONFOUND_THREADS:-0}" -q)
# Name, then the flags in which it is not the first. Where a flag is not named: format hf-seed, f32, top-p 1.
variants=(
  "meant"
  "one-bos --format hf-seed-one-bos"
  "chat-template --format hf-seed-chat"
  "mlx-text --format mlx-seed"
  "mlx-text-query --format mlx-seed-query"
  "top-p --top-p 0.95"
  "eager --attention eager"
  "bf16 --dtype bf16"
  "leaky --leaky"
  "positions --positions restart"
  "leaky-positions --leaky --positions restart"
  "f16 --dtype f16"
)
folders=()
for variant in "${variants[@]}"; do
  read -ra words <<<"$variant"
  [[ " ${CONFOUNDS:-${words[0]}} meant " == *" ${words[0]} "* ]] || continue
  flags=("${words[@]:1}")
  for default in "--format hf-seed" "--dtype f32" "--top-p 1"; do
    read -ra pair <<<"$default"
    [[ " ${flags[*]} " == *" ${pair[0]} "* ]] || flags+=("${pair[@]}")
  done
  folder=runs/confounds/$name/${words[0]}
  folders+=("$folder")
  ! grep -qs '^ "complete": true' "$folder/results.json" || continue
  echo "confounds: ${words[0]}" >&2
  rm -rf "$folder"
  mkdir -p "$(dirname "$folder")"
  # One that cannot be computed (numbers that overflow) is a result too: the table shows its error.
  "$bulkhead" run "${scenarios[@]}" "${shared[@]}" "${flags[@]}" --out "$folder" >/dev/null 2>"$folder.log" || tail -1 "$folder.log" >&2
done
scripts/workers_python.sh workers/confounds_table.py "$("$bulkhead" pull "$model" -q 2>/dev/null || echo "$model")" "${folders[@]}" >"$out"
echo "confounds: $out" >&2
