#!/usr/bin/env bash
# The same weights for every framework, made of one GGUF file: an unquantized GGUF, a Transformers checkpoint, MLX models.
#   scripts/convert.sh MODEL.gguf FOLDER [--dtype f32|bf16] [--only gguf,checkpoint,mlx,mlx-8bit,mlx-4bit]
set -euo pipefail
exec "$(dirname "$0")/workers_python.sh" -m bulkhead_workers.convert "$@"
