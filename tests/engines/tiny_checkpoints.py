#!/usr/bin/env python3
"""Makes checkpoints of Gemma 2, Gemma 3, Llama and Qwen 2 with a few random weights, in f32: a second to load, milliseconds to run.

Usage: tiny_checkpoints.py FOLDER [--theta BASE]       (in the workers' environment)
Their text is noise, but depends on every token that they can see. Gemma 3 has a sliding window of 32 tokens in five of six layers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

WINDOW = 32
CONTEXT = 4096
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<|im_start|>", "<|im_end|>")
# Merging plain pieces leads to a control token.
MERGES = [("<", "e"), ("o", "s"), ("os", ">"), ("<e", "os>")]
CHAT = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SIZES = {
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 6,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 64,
}


def tokenizer(byte_level: bool) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    if byte_level:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    else:
        letters = [f"<0x{byte:02X}>" for byte in range(256)] + [chr(code) for code in range(33, 127)] + ["\u2581"]
    merged = ["<e", "os", "os>"]
    vocabulary = {piece: index for index, piece in enumerate([*SPECIAL, *letters, *merged])}
    made = Tokenizer(models.BPE(vocabulary, MERGES, unk_token="<unk>", byte_fallback=not byte_level))
    if byte_level:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        made.decoder = decoders.ByteLevel()
    else:
        made.normalizer = normalizers.Replace(" ", "\u2581")
        made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    if not byte_level:
        made.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", SPECIAL.index("<bos>"))])
    whole: Any = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>"
    )
    whole.chat_template = CHAT
    return whole


def configuration(family: str, vocabulary: int, theta: float) -> Any:
    import transformers

    shared: dict[str, Any] = {**SIZES, "vocab_size": vocabulary, "max_position_embeddings": CONTEXT, "tie_word_embeddings": False}
    shared.update(bos_token_id=SPECIAL.index("<bos>"), eos_token_id=SPECIAL.index("<eos>"), pad_token_id=SPECIAL.index("<pad>"))
    rope = {"rope_type": "default", "rope_theta": theta}
    if family == "gemma2":
        # The architecture ties them in mlx_lm, which knows no window here either.
        return transformers.Gemma2Config(**{**shared, "tie_word_embeddings": True}, sliding_window=CONTEXT, query_pre_attn_scalar=64, rope_parameters=rope)
    if family == "gemma3":
        both = {"full_attention": {**rope, "rope_theta": 4 * theta}, "sliding_attention": rope}
        return transformers.Gemma3TextConfig(**shared, sliding_window=WINDOW, query_pre_attn_scalar=64, rope_parameters=both)
    if family == "llama":
        # Scaled as in Llama 3.
        scaled = {**rope, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
        return transformers.LlamaConfig(**shared, rope_parameters={**scaled, "original_max_position_embeddings": 64})
    del shared["head_dim"]
    return transformers.Qwen2Config(**shared, use_sliding_window=False, rope_parameters=rope)


def randomize(model: Any, plain: list[int]) -> None:
    """Weights that make every logit depend on every visible token; logit 0 for all but `plain` tokens, so that greedy text is ASCII."""
    import torch

    generator = torch.Generator().manual_seed(7)
    tied = model.get_output_embeddings().weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2:
                # Tied ones must be large, or all texts end in the same token.
                spread = (0.1 if tied else 0.02) if "embed_tokens" in name else weight.shape[1] ** -0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * spread)
        head = model.get_output_embeddings().weight
        if not tied:
            head.mul_(2)
        kept = torch.zeros(head.shape[0], 1)
        kept[plain] = 1
        head.mul_(kept)


def make(family: str, folder: Path, theta: float) -> None:
    import torch
    import transformers

    words = tokenizer(byte_level=family == "qwen2")
    config = configuration(family, len(words), theta)
    classes = {"gemma2": "Gemma2", "gemma3": "Gemma3", "llama": "Llama", "qwen2": "Qwen2"}
    model = getattr(transformers, classes[family] + "ForCausalLM")(config).to(torch.float32)
    printable = {chr(code) for code in range(33, 127)} | {"\u2581", "\u0120"}
    randomize(model, [index for piece, index in words.get_vocab().items() if piece in printable])
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Makes tiny checkpoints with random weights.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theta", type=float, default=10_000.0, help="base of the positions' rotation")
    arguments = parser.parse_args()
    for family in ("gemma2", "gemma3", "llama", "qwen2"):
        make(family, arguments.folder / family, arguments.theta)
    return 0


if __name__ == "__main__":
    sys.exit(main())
