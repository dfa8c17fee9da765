#!/usr/bin/env bash
# The libFuzzer targets of tests/fuzz, one after another: builds them, runs each for SECONDS (30) from its corpus, and writes a table.
#   scripts/test_fuzz.sh [SECONDS] [--dry SECONDS] [TARGET ...]     --dry: a target ends earlier when no new edge came for so long
# What a target finds lies in build/fuzz/found, what it learnt in build/fuzz/corpus, from where the next run goes on.
# The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh --all
targets=()
for argument in "$@"; do
  case $argument in
    [a-z]*) [ -f "tests/fuzz/$argument.cc" ] || { echo "test_fuzz: there is no tests/fuzz/$argument.cc" >&2; exit 2; }
      targets+=("fuzz_$argument") ;;
  esac
done
scripts/build.sh fuzz "${targets[@]:-bulkhead_fuzz}"
exec python3 scripts/run_fuzz_targets.py "$@"
