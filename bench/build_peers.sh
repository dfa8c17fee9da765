#!/usr/bin/env bash
# Builds llama.cpp's own programs that the benches compare with, from the sources Bulkhead links, without its patches, and with llama.cpp's
# default options, into one folder of the cache. Prints that folder's bin. Does nothing for a program that is there.
#   bench/build_peers.sh llama-server llama-batched-bench
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
sources=$(scripts/fetch_llama.sh --plain)
build=$cache/build/llama-peers
export CCACHE_DIR=${CCACHE_DIR:-$cache/ccache}
missing=()
for program in "$@"; do
  [ -e "$build/$program.complete" ] || missing+=("$program")
done
if [ ${#missing[@]} -gt 0 ]; then
  mkdir -p "$build"
  exec 9>"$build.lock"
  flock 9 2>/dev/null || true  # absent on macOS: then two first runs at once do the work twice
  echo "building ${missing[*]} (some minutes, once; log in $build.log)" >&2
  # Not AMX: g++ 12 drops the tile configuration, and ggml's products with it end in an illegal instruction (cmake/BulkheadLlama.cmake).
  native=()
  if c++ -march=native -Q --help=target 2>/dev/null | grep -q 'mamx-tile.*\[enabled\]'; then
    for language in C CXX; do native+=("-DCMAKE_${language}_FLAGS=-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"); done
  fi
  {
    cmake -S "$sources" -B "$build" ${native[@]+"${native[@]}"} -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
      -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_UI=OFF \
      -DLLAMA_USE_PREBUILT_UI=OFF -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache
    cmake --build "$build" --target "${missing[@]}"
  } >"$build.log" 2>&1 || { tail -20 "$build.log" >&2; exit 1; }
  for program in "${missing[@]}"; do touch "$build/$program.complete"; done
fi
echo "$build/bin"
