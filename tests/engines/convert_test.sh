#!/usr/bin/env bash
# Makes FOLDER anew with the weights of Gemma 3 270M for every framework, in f32 and bf16, by `bulkhead convert`; looks that what is there is
# left alone, that a file cut short is told of with code 4, and that nothing unfinished stays behind, not even when it is stopped.
#   convert_test.sh BULKHEAD FOLDER
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
bulkhead=$1 folder=$2
model=${BULKHEAD_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/models}/gemma-3-270m-q4_k_m.gguf
fail() { echo "convert_test: $*" >&2; exit 1; }
"$root/scripts/install_workers.sh"
rm -rf "$folder"
"$bulkhead" convert gemma-3-270m "$folder" --dtype f32 --only gguf,checkpoint,mlx
touch "$folder.made"
said=$("$bulkhead" convert "$model" "$folder" --dtype f32 --only gguf,checkpoint,mlx)
[ "$said" = "$(printf '%s\n' "$folder"/{model-f32.gguf,checkpoint-f32,mlx-f32})" ] || fail "stdout was: $said"
[ -z "$(find "$folder" -newer "$folder.made")" ] || fail "something was made twice"
rm "$folder.made"
[ "$(ls -A "$folder" | wc -l)" = 3 ] || fail "more is there than was asked for"
"$bulkhead" convert "$model" "$folder" --dtype bf16 --only gguf,checkpoint
"$root/scripts/workers_python.sh" "$root/tests/engines/converted_weights.py" "$folder"

broken=$folder.broken
rm -rf "$broken" && mkdir "$broken"
head -c 1000000 "$model" >"$broken/cut.gguf"
code=0
"$bulkhead" convert "$broken/cut.gguf" "$broken/of-cut" --only gguf || code=$?
[ "$code" = 4 ] || fail "a file cut short gave code $code"
[ -z "$(ls -A "$broken/of-cut")" ] || fail "something of a file cut short is there"
"$bulkhead" convert "$model" "$broken/stopped" --dtype f32 &
pid=$!
until [ -n "$(ls -A "$broken/stopped" 2>/dev/null)" ]; do sleep 0.1; done
kill -TERM "$pid"
code=0
wait "$pid" || code=$?
[ "$code" = 143 ] || fail "a stopped one gave code $code"
[ -z "$(ls -A "$broken/stopped")" ] || fail "a stopped one left $(ls -A "$broken/stopped")"
rm -rf "$broken"
