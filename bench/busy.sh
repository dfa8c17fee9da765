#!/usr/bin/env bash
# The main job on a busy machine: alone and beside busy loops, bulkhead, another build of it and llama-server in turns.
#   bench/busy.sh [flags of bench/busy.py]      bench/busy.sh --against PROGRAM -r 9
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
server=$(bench/build_peers.sh llama-server)/llama-server
scripts/build.sh bench bulkhead_program bulkhead_bench_main_job
build/bench/src/bulkhead pull qwen2.5-coder-0.5b >&2
exec python3 bench/busy.py --program build/bench/src/bulkhead --job build/bench/bench/bulkhead_bench_main_job --server "$server" "$@"
