#!/usr/bin/env bash
# The long form of the load that the server must bear: 64 streams of eight owners for ten minutes. No request fails, memory stays flat, and
# owners get equal shares.
#   scripts/load.sh [MODEL FILE] [SECONDS] [STREAMS] [OWNERS] > docs/results/load.json     default: Gemma 3 270M, 600, 64, 8
# A model named "tiny" is the tests' model of noise.
set -euo pipefail
cd "$(dirname "$0")/.."
model=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/models/gemma-3-270m-q4_k_m.gguf}
export BULKHEAD_LOAD_SECONDS=${2:-600} BULKHEAD_LOAD_STREAMS=${3:-64} BULKHEAD_LOAD_OWNERS=${4:-8}
scripts/build.sh release bulkhead_serve_test
if [ "$model" != tiny ]; then export BULKHEAD_LOAD_MODEL=$model; fi
build/release/tests/bulkhead_serve_test --gtest_filter='Load.*' | tee >(cat >&2) | sed -n 's/^load //p' | scripts/add_machine_facts.py "$model"
