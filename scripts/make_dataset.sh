#!/usr/bin/env bash
# Makes datasets/bulkhead-bench/conversations.jsonl from its tables: scripts/make_dataset.sh [SEED]; another seed gives another set, on stdout.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/build.sh release make_dataset
folder=datasets/bulkhead-bench
if [ $# -gt 0 ]; then exec build/release/datasets/make_dataset $folder/source "$1"; fi
build/release/datasets/make_dataset $folder/source >$folder/conversations.jsonl.new
mv $folder/conversations.jsonl.new $folder/conversations.jsonl
