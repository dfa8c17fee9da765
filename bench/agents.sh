#!/usr/bin/env bash
# Topics in one process against an agent of its own for each: time and memory; builds the program.     bench/agents.sh [flags of bench/agents.py]
#   bench/agents.sh -m gemma-3-270m -m qwen2.5-coder-0.5b --scenario scenarios/hospital_pharmacy.json
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh bench bulkhead_program
exec python3 bench/agents.py --program build/bench/src/bulkhead "$@"
