#!/usr/bin/env bash
# What drafts gain on our scenarios; builds the program.     bench/drafts.sh [flags of bench/drafts.py]
#   bench/drafts.sh -m gemma-3-270m -m qwen2.5-coder-0.5b --scenario scenarios/hospital_pharmacy.json
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
scripts/build.sh bench bulkhead_program
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
exec python3 bench/drafts.py --commit "$commit" --program build/bench/src/bulkhead "$@"
