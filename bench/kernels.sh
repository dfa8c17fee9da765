#!/usr/bin/env bash
# The kernel bench: aggregate decode and prefill, Bulkhead and stock llama.cpp (llama-batched-bench) in turns; builds both.
# JSON goes to stdout, a Markdown table to stderr.     bench/kernels.sh [flags of bench/kernels.py]
#   bench/kernels.sh -m qwen2.5-coder-1.5b -m gemma-3-270m
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
stock=$(bench/build_peers.sh llama-batched-bench)/llama-batched-bench
scripts/build.sh bench bulkhead_bench_kernels
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
exec python3 bench/kernels.py --commit "$commit" --stock "$stock" --ours build/bench/bench/bulkhead_bench_kernels "$@"
