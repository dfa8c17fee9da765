#!/usr/bin/env bash
# `bulkhead serve` beside llama-server on the same model and requests, in turns: agents with one system prompt, many topics, pauses.
#   bench/serve.sh [-m MODEL] [--program BULKHEAD] [flags of bench/serve.py]       default: Gemma 3 270M; the program is built if none is given
#   bench/serve.sh --quick      checks the bench; under three minutes
set -euo pipefail
cd "$(dirname "$0")/.."
model=gemma-3-270m
program=
rest=()
while [ $# -gt 0 ]; do
  case $1 in
    -m | --model) model=$2; shift 2 ;;
    --program) program=$2; shift 2 ;;
    *) rest+=("$1"); shift ;;
  esac
done
server=$(bench/build_peers.sh llama-server)/llama-server
if [ -z "$program" ]; then
  scripts/build.sh release bulkhead_program
  program=build/release/src/bulkhead
fi
[ -f "$model" ] || model=$("$program" pull "$model" --progress never)
exec python3 bench/serve.py --program "$program" --server "$server" -m "$model" ${rest[@]+"${rest[@]}"}
