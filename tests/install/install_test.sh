#!/usr/bin/env bash
# Installs the library into a fresh prefix, builds the consumer project against it, checks what the library exports, and runs
# the example on a real model.   install_test.sh SOURCE_DIR BINARY_DIR
set -euo pipefail
source_dir=$1
binary_dir=$2
prefix=$(mktemp -d)
trap 'rm -rf "$prefix"' EXIT

cmake --install "$binary_dir" --prefix "$prefix/installed" >/dev/null
cmake -S "$source_dir/tests/install/consumer" -B "$prefix/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_PREFIX_PATH="$prefix/installed" -DEXAMPLE="$source_dir/examples/two_partitions.cpp" >/dev/null
cmake --build "$prefix/build" >/dev/null

library=$(ls "$prefix"/installed/lib*/libbulkhead.so)
grep -o 'bulkhead_[a-z_]*(const\|bulkhead_[a-z_]*(void\|bulkhead_[a-z_]*(bulkhead' "$source_dir/include/bulkhead/c.h" | cut -d'(' -f1 >"$prefix/c_calls"
foreign=$(nm -DC --defined-only "$library" | cut -d' ' -f3- | grep -v -E '^(typeinfo for |typeinfo name for |vtable for )?bulkhead::' | grep -v -x -F -f "$prefix/c_calls" || true)
if [ -n "$foreign" ]; then
  echo "libbulkhead exports symbols that are not its own:"
  echo "$foreign" | head -20
  exit 1
fi
nm -DC --defined-only "$library" | grep -c 'bulkhead::Model::load' >/dev/null || { echo "libbulkhead does not export Model::load"; exit 1; }
if nm -DC --undefined-only "$library" | grep -c -E ' (llama|ggml)_'; then
  echo "libbulkhead leaves llama.cpp symbols undefined"
  exit 1
fi

models=${BULKHEAD_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/models}
if [ ! -f "$models/gemma-3-270m-q4_k_m.gguf" ]; then
  echo "SKIPPED: the model gemma-3-270m is not pulled"
  exit 77
fi
output=$("$prefix/build/consumer" gemma-3-270m)
[ "$(printf '%s\n' "$output" | grep -c '^---$')" -eq 1 ] || { echo "unexpected output: $output"; exit 1; }
[ "$("$prefix/build/consumer" gemma-3-270m)" = "$output" ] || { echo "two runs differ"; exit 1; }
case $("$prefix/installed/bin/bulkhead" --version) in "bulkhead 0."*) ;; *) false ;; esac || { echo "the installed program does not run"; exit 1; }
