#!/usr/bin/env bash
# Does isolation keep foreign terminology out? Runs the sequential and semantic conditions on the demo model, greedy and over five seeds, on our
# scenarios and on further ones given, and writes the counts.   scripts/campaign_effect.sh OUT.md [SCENARIO.json ...]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
shift
scenarios=(scenarios/hospital_pharmacy.json scenarios/city_tram.json scenarios/fish_farm.json "$@")
scripts/setup.sh
scripts/build.sh program bulkhead_program
program=build/program/src/bulkhead
$program pull qwen2.5-coder-0.5b >&2
folder=build/campaign_effect
conditions=${BULKHEAD_CONDITIONS:-sequential,prompted,turn_based,semantic}
threads=${BULKHEAD_THREADS:-0}  # beside other work one thread is faster than two; the texts are the same
$program run "${scenarios[@]}" -m qwen2.5-coder-0.5b --conditions "$conditions" -t "$threads" --temp 0 --force --out "$folder/greedy" -q >/dev/null
$program run "${scenarios[@]}" -m qwen2.5-coder-0.5b --conditions "$conditions" -t "$threads" --temp 0.7 --repeat 5 --force --out "$folder/sampled" -q >/dev/null
python3 scripts/effect_table.py "$folder/greedy/results.json" "$folder/sampled/results.json" >"$out"
cat "$out"
