#!/usr/bin/env bash
# What npm's llmprobe says of `bulkhead serve`, and with --peer of llama-server on the same model: all of its tests but the benchmark, nothing
# uploaded or recorded elsewhere. Keeps each card as JSON and as text.
#   scripts/llmprobe.sh [--peer] [--no-embedding] [--program BULKHEAD] [--out FOLDER] [MODEL]    default: docs/results, qwen2.5-coder-0.5b
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.6.12
model=qwen2.5-coder-0.5b
out=docs/results
program=
peer=
plain=
while [ $# -gt 0 ]; do
  case $1 in
    --peer) peer=yes; shift ;;
    --no-embedding) plain=yes; shift ;;  # the model for them takes 1.2 GB of other programs to make
    --program) program=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    *) model=$1; shift ;;
  esac
done
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead
tools=$cache/llmprobe-$version
if [ ! -f "$tools/.complete" ]; then
  command -v npm >/dev/null || { echo "llmprobe: npm is missing (scripts/setup.sh)" >&2; exit 5; }
  rm -rf "$tools"
  mkdir -p "$tools"
  npm install --prefix "$tools" --ignore-scripts --no-audit --no-fund --silent "llmprobe@$version" >&2 ||
    { echo "llmprobe: npm could not fetch it" >&2; exit 6; }
  touch "$tools/.complete"
fi
if [ -z "$program" ]; then
  scripts/build.sh release bulkhead_program
  program=build/release/src/bulkhead
fi
[ -f "$model" ] || model=$("$program" pull "$model" --progress never)
embedding=()
[ -n "$plain" ] || embedding=(--embedding-model "$(scripts/embedding_model.sh)")
log=$(mktemp)
server=
finish() {
  if [ -n "$server" ]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  server=
}
trap 'finish; rm -f "$log"' EXIT

# probe NAME COMMAND ...: starts the server on a free port, and asks it.
probe() {
  local name=$1 port
  shift
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  "$@" --host 127.0.0.1 --port "$port" >"$log" 2>&1 &
  server=$!
  until curl -sf "http://127.0.0.1:$port/health" >/dev/null; do
    kill -0 "$server" 2>/dev/null || { echo "llmprobe: $name does not start:" >&2; tail -20 "$log" >&2; exit 1; }
    sleep 0.2
  done
  # It ends with another code than 0 where a test failed, which the card tells.
  (cd "$tools" && npx --no-install llmprobe "http://127.0.0.1:$port" --full --no-save --no-bench --no-color -m default --save "$tools/card.json") |
    sed "s/:$port/:PORT/g; s|$tools/||g" | tee >(cat >&2) >"$out/llmprobe-$name.txt" || true
  [ -s "$tools/card.json" ] || { echo "llmprobe: there is no card of $name" >&2; exit 1; }
  sed "s/:$port/:PORT/g" "$tools/card.json" >"$out/llmprobe-$name.json"
  rm "$tools/card.json"
  finish
}

mkdir -p "$out"
probe bulkhead "$program" serve -m "$model" -a default -c 8192 ${embedding[@]+"${embedding[@]}"}
if [ -n "$peer" ]; then
  # Embeddings are not asked of it as they are of ours: it serves one model.
  probe llama-server "$(bench/build_peers.sh llama-server)/llama-server" -m "$model" -a default -c 8192
fi
