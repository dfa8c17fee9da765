#!/usr/bin/env bash
# The long soak of the desk: threads that open, fork, cut, cancel and park on a real model.
#   scripts/soak.sh [STEPS] [MODEL FILE] > docs/results/soak.json     default: 200,000 steps on Gemma 3 270M
set -euo pipefail
cd "$(dirname "$0")/.."
steps=${1:-200000}
model=${2:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/models/gemma-3-270m-q4_k_m.gguf}
scripts/build.sh release bulkhead_desk_test
BULKHEAD_SOAK_STEPS=$steps BULKHEAD_SOAK_MODEL=$model build/release/tests/bulkhead_desk_test --gtest_filter='Soak.*' |
  tee >(cat >&2) | sed -n 's/^soak //p' | scripts/add_machine_facts.py "$model"
