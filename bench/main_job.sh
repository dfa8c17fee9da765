#!/usr/bin/env bash
# The main job, Bulkhead and llama-server side by side; builds both. JSON goes to stdout, a table to stderr.
#   bench/main_job.sh [SCENARIO.json] [further flags of bulkhead_bench_main_job]
# With --vllm FOLDER (a checkpoint made by scripts/vllm.sh convert) vLLM takes part.
set -euo pipefail
cd "$(dirname "$0")/.."
scenario=scenarios/hospital_pharmacy.json
if [ $# -gt 0 ] && [ -f "$1" ]; then scenario=$1; shift; fi
scripts/setup.sh
server=$(bench/build_peers.sh llama-server)/llama-server
scripts/build.sh bench bulkhead_program bulkhead_bench_main_job
build/bench/src/bulkhead pull gemma-3-270m >&2
result=$(build/bench/bench/bulkhead_bench_main_job --scenario "$scenario" --server "$server" "$@")
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
printf '%s\n' "$result" | bench/print_rows.py "$commit"
