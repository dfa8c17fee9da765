#!/usr/bin/env bash
# Makes FOLDER anew with the weights of Gemma 3 270M for every framework, in f32 and bf16, and looks that what is there is left alone.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$1
model=${BULKHEAD_MODELS:-${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead/models}/gemma-3-270m-q4_k_m.gguf
rm -rf "$folder"
"$root/scripts/convert.sh" "$model" "$folder" --dtype f32 --only gguf,checkpoint,mlx
touch "$folder.made"
"$root/scripts/convert.sh" "$model" "$folder" --dtype f32 --only gguf,checkpoint,mlx
[ -z "$(find "$folder" -newer "$folder.made")" ] || { echo "convert_test: something was made twice" >&2; exit 1; }
rm "$folder.made"
[ "$(ls -A "$folder" | wc -l)" = 3 ] || { echo "convert_test: more is there than was asked for" >&2; exit 1; }
"$root/scripts/convert.sh" "$model" "$folder" --dtype bf16 --only gguf,checkpoint
"$root/scripts/workers_python.sh" "$root/tests/engines/converted_weights.py" "$folder"
