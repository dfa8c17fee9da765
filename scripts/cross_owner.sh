#!/usr/bin/env bash
# The long forms of what the server promises between owners: 32 of them at the same time with 2,000 requests, each compared with a replay of
# its own alone, and 2,000 probes of what the clock tells. Where llama-server is built (bench/build_peers.sh llama-server), 400 probes of it are the
# control: its keys share slots, so there the clock must tell.
#   scripts/cross_owner.sh [REQUESTS] [PROBES] [MODEL FILE] > docs/results/cross-owner.json     default: 2000 2000, Gemma 3 270M
# A model named "tiny" is the tests' model of noise.
set -euo pipefail
cd "$(dirname "$0")/.."
requests=${1:-2000}
probes=${2:-2000}
model=${3:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/models/gemma-3-270m-q4_k_m.gguf}
scripts/build.sh release bulkhead_serve_test
export BULKHEAD_CROSS_OWNERS=32 BULKHEAD_CROSS_REQUESTS=$requests BULKHEAD_TIMING_PROBES=$probes BULKHEAD_TIMING_WORDS=30
if [ "$model" != tiny ]; then export BULKHEAD_CROSS_MODEL=$model BULKHEAD_TIMING_MODEL=$model; fi
control=$(mktemp)
trap 'rm -f "$control"' EXIT
peer=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/build/llama-peers
if [ "$model" = tiny ]; then
  echo "cross_owner: no control: llama-server is not asked with the tests' model" >&2
elif [ ! -e "$peer/llama-server.complete" ]; then
  echo "cross_owner: no control: llama-server is not built (bench/build_peers.sh llama-server)" >&2
else
  python3 bench/serve_timing.py --server "$peer/bin/llama-server" -m "$model" --probes "${CONTROL_PROBES:-400}" >"$control"
fi
{
  build/release/tests/bulkhead_serve_test --gtest_filter='CrossOwner.Nothing*:Timing.An*' | tee >(cat >&2) | sed -n -E 's/^(cross_owner|timing) //p'
  tr -d '\n' <"$control"
} | scripts/add_machine_facts.py "$model" cross_owner owners timing control_own_hits timing_control llama_server
