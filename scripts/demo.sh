#!/usr/bin/env bash
# The main job on a fresh machine: sets everything up, builds, pulls the demo model, runs the four conditions on a scenario and says
# where the report lies.   scripts/demo.sh [SCENARIO.json] [further flags of `bulkhead run`]
set -euo pipefail
cd "$(dirname "$0")/.."
scenario=scenarios/hospital_pharmacy.json
if [ $# -gt 0 ] && [ -f "$1" ]; then
  scenario=$1
  shift
fi
scripts/setup.sh
scripts/build.sh program bulkhead_program
build/program/src/bulkhead pull qwen2.5-coder-0.5b >&2
exec build/program/src/bulkhead run "$scenario" -m qwen2.5-coder-0.5b "$@"
