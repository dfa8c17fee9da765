#!/usr/bin/env bash
# What drafts gain on our scenarios; builds the program.     bench/drafts.sh [flags of bench/drafts.py]
#   bench/drafts.sh -m gemma-3-270m -m qwen2.5-coder-0.5b --scenario scenarios/hospital_pharmacy.json
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh bench bulkhead_program
exec python3 bench/drafts.py --program build/bench/src/bulkhead "$@"
