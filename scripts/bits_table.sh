#!/usr/bin/env bash
# Which settings move the bits of a partition's logits: writes the table.   scripts/bits_table.sh OUT.md [MODEL ...] [-- flags of bulkhead_bench_bits]
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
shift
models=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do models+=("$1"); shift; done
[ $# -eq 0 ] || shift
[ ${#models[@]} -gt 0 ] || models=(gemma-3-270m qwen2.5-coder-0.5b)
scripts/setup.sh
scripts/build.sh bench bulkhead_program bulkhead_bench_bits
arguments=()
for model in "${models[@]}"; do
  [ -f "$model" ] || build/bench/src/bulkhead pull "$model" >&2
  arguments+=(-m "$model")
done
build/bench/bench/bulkhead_bench_bits "${arguments[@]}" "$@" >"$out.part"
mv "$out.part" "$out"
