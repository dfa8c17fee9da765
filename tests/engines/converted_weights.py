# SPDX-License-Identifier: MIT
"""Holds a folder of bulkhead convert to what it promises for bf16: file and checkpoint have the f32 file's shapes, and its numbers, rounded.

Run as: python converted_weights.py FOLDER (with model-f32.gguf, model-bf16.gguf and checkpoint-bf16)
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf
import torch
from safetensors import safe_open


def numbers(tensor: gguf.ReaderTensor) -> torch.Tensor:
    return torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())


def main() -> int:
    folder = Path(sys.argv[1])
    plain = {tensor.name: tensor for tensor in gguf.GGUFReader(folder / "model-f32.gguf").tensors}
    halved = {tensor.name: tensor for tensor in gguf.GGUFReader(folder / "model-bf16.gguf").tensors}
    assert plain.keys() == halved.keys()
    for name, tensor in halved.items():
        assert list(tensor.shape) == list(plain[name].shape), f"{name}: {tensor.shape}, not {plain[name].shape}"
        expected = numbers(plain[name])
        if len(tensor.shape) > 1:
            expected = expected.bfloat16().float()
        assert torch.equal(numbers(tensor).reshape(expected.shape), expected), f"{name}: other numbers"
    with safe_open(folder / "checkpoint-bf16" / "model.safetensors", "pt") as checkpoint:
        embedding = checkpoint.get_tensor("model.embed_tokens.weight")
    assert embedding.dtype == torch.bfloat16
    assert torch.equal(embedding.float().flatten(), numbers(halved["token_embd.weight"]).flatten()), "the checkpoint has other embeddings"
    print(f"{len(halved)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
