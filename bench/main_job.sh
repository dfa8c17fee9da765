#!/usr/bin/env bash
# The main job, Bulkhead and llama-server side by side; builds both. JSON goes to stdout, a table to stderr.
#   bench/main_job.sh [SCENARIO.json] [further flags of bulkhead_bench_main_job]
set -euo pipefail
cd "$(dirname "$0")/.."
scenario=scenarios/hospital_pharmacy.json
if [ $# -gt 0 ] && [ -f "$1" ]; then scenario=$1; shift; fi
scripts/setup.sh
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
sources=$(scripts/fetch_llama.sh)
server_build=$cache/build/llama-server
export CCACHE_DIR=${CCACHE_DIR:-$cache/ccache}
if [ ! -x "$server_build/bin/llama-server" ]; then
  echo "building llama-server (some minutes, once)" >&2
  cmake -S "$sources" -B "$server_build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON -DLLAMA_BUILD_UI=OFF \
    -DLLAMA_USE_PREBUILT_UI=OFF -DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache >"$cache/llama-server.log" 2>&1
  cmake --build "$server_build" --target llama-server >>"$cache/llama-server.log" 2>&1
fi
scripts/build.sh bench bulkhead_program bulkhead_bench_main_job
build/bench/src/bulkhead pull gemma-3-270m >&2
result=$(build/bench/bench/bulkhead_bench_main_job --scenario "$scenario" --server "$server_build/bin/llama-server" "$@")
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
printf '%s\n' "$result" | bench/print_rows.py "$commit"
