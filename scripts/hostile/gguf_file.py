"""GGUF files in Python: a model that works, as values that can be bent before they are written."""

from __future__ import annotations

import copy
import random
import struct
from dataclasses import dataclass

U32, I32, F32, BOOL, TEXT, LIST, U64 = 4, 5, 6, 7, 8, 9, 10
FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", U32: "I", I32: "i", F32: "f", BOOL: "?", U64: "Q", 11: "q", 12: "d"}
ALIGNMENT = 32


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def scalar(kind: int, value) -> bytes:
    if kind == TEXT:
        return text(value)
    return struct.pack("<" + FORMATS[kind], value)


@dataclass
class Value:
    kind: int
    content: object  # a number, bytes, or for LIST (kind of its items, items); bytes of any other kind are taken as they are

    def encode(self) -> bytes:
        if isinstance(self.content, bytes) and self.kind != TEXT:
            return self.content
        if self.kind != LIST:
            return scalar(self.kind, self.content)
        kind, items = self.content
        return struct.pack("<IQ", kind, len(items)) + b"".join(scalar(kind, item) for item in items)


@dataclass
class Tensor:
    name: bytes
    sizes: list[int]
    data: bytes
    kind: int = 0  # F32
    offset: int | None = None  # None: where it lies


@dataclass
class Model:
    architecture: str
    values: dict[bytes, Value]
    tensors: list[Tensor]

    def bent(self, key: str, kind: int, content: object) -> Model:
        """A copy with one value changed; "." at the beginning stands for the architecture's own keys."""
        other = copy.copy(self)
        full = (self.architecture if key.startswith(".") else "") + key
        other.values = self.values | {full.encode(): Value(kind, content)}
        return other

    def with_tensor(self, index: int, **changes: object) -> Model:
        other = copy.copy(self)
        other.tensors = list(self.tensors)
        tensor = copy.copy(self.tensors[index])
        for name, value in changes.items():
            setattr(tensor, name, value)
        other.tensors[index] = tensor
        return other

    def parts(self, version: int = 3, tensors: int | None = None, values: int | None = None) -> tuple[bytes, bytes]:
        """The header and the data."""
        head = [b"GGUF", struct.pack("<IQQ", version, len(self.tensors) if tensors is None else tensors,
                                     len(self.values) if values is None else values)]
        head += [text(key) + struct.pack("<I", value.kind) + value.encode() for key, value in self.values.items()]
        data = b""
        for tensor in self.tensors:
            at = len(data) if tensor.offset is None else tensor.offset
            head.append(text(tensor.name) + struct.pack("<I", len(tensor.sizes)) + b"".join(struct.pack("<Q", size) for size in tensor.sizes) +
                        struct.pack("<IQ", tensor.kind, at))
            data += tensor.data + b"\0" * (-len(tensor.data) % ALIGNMENT)
        header = b"".join(head)
        return header + b"\0" * (-len(header) % ALIGNMENT), data

    def encode(self, **changes: int) -> bytes:
        return b"".join(self.parts(**changes))


def vocabulary(kind: str) -> dict[bytes, Value]:
    """Every text can be spelled: single bytes, and a few pieces to merge."""
    special = [b"<unk>", b"<s>", b"</s>"]
    if kind == "llama":
        pieces = [b"<0x%02X>" % byte for byte in range(256)]
        kinds = [2, 3, 3] + [6] * 256
        words = [bytes([letter]) for letter in range(33, 127)] + ["\u2581".encode(), b"th", b"he", b"the", b"in", b"an", "\u2581the".encode()]
        scores = [0.0] * len(kinds) + [-float(i) for i in range(len(words))]
        more = {b"tokenizer.ggml.scores": Value(LIST, (F32, scores))}
    else:
        printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
        letters = {byte: chr(byte) for byte in printable}
        for number, byte in enumerate(byte for byte in range(256) if byte not in letters):
            letters[byte] = chr(256 + number)
        pieces = [letters[byte].encode() for byte in range(256)]
        kinds = [2, 3, 3] + [1] * 256
        words = [b"th", b"he", b"the", b"in", b"an"]
        more = {b"tokenizer.ggml.merges": Value(LIST, (TEXT, [b"t h", b"th e", b"i n", b"a n", b"h e"])), b"tokenizer.ggml.pre": Value(TEXT, b"qwen2")}
    tokens = special + pieces + words
    kinds += [1] * len(words)
    return {
        b"tokenizer.ggml.model": Value(TEXT, kind.encode()),
        b"tokenizer.ggml.tokens": Value(LIST, (TEXT, tokens)),
        b"tokenizer.ggml.token_type": Value(LIST, (I32, kinds)),
        b"tokenizer.ggml.bos_token_id": Value(U32, 1),
        b"tokenizer.ggml.eos_token_id": Value(U32, 2),
        b"tokenizer.ggml.unknown_token_id": Value(U32, 0),
        b"tokenizer.chat_template": Value(TEXT, b"{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"),
    } | more


def make_model(architecture: str, width: int = 32, layers: int = 3, window: int = 0, experts: int = 0) -> Model:
    """A model with random weights: gemma3, llama, qwen2 or qwen3moe."""
    noise = random.Random(7)
    own = {"context_length": (U32, 512), "embedding_length": (U32, width), "block_count": (U32, layers), "feed_forward_length": (U32, width),
           "attention.head_count": (U32, 1), "attention.head_count_kv": (U32, 1), "attention.key_length": (U32, width),
           "attention.value_length": (U32, width), "attention.layer_norm_rms_epsilon": (F32, 1e-6)}
    if architecture == "llama":
        own["rope.dimension_count"] = (U32, width)
    if window:
        own["attention.sliding_window"] = (U32, window)
    if experts:
        own |= {"expert_count": (U32, experts), "expert_used_count": (U32, 2), "expert_feed_forward_length": (U32, width)}
    values = {b"general.architecture": Value(TEXT, architecture.encode()), b"general.name": Value(TEXT, b"bent")}
    values |= {f"{architecture}.{key}".encode(): Value(kind, content) for key, (kind, content) in own.items()}
    values |= vocabulary("llama" if architecture in ("gemma3", "llama") else "gpt2")
    words = len(values[b"tokenizer.ggml.tokens"].content[1])

    def floats(count: int, spread: float) -> bytes:
        return struct.pack(f"<{count}f", *(noise.uniform(-spread, spread) for _ in range(count)))

    def matrix(name: str, *sizes: int) -> Tensor:
        count = 1
        for size in sizes:
            count *= size
        return Tensor(name.encode(), list(sizes), floats(count, 0.3))

    def ones(name: str) -> Tensor:
        return Tensor(name.encode(), [width], struct.pack(f"<{width}f", *([1.0] * width)))

    tensors = [matrix("token_embd.weight", width, words), ones("output_norm.weight"), matrix("output.weight", width, words)]
    for layer in range(layers):
        at = f"blk.{layer}."
        tensors += [ones(f"{at}{norm}.weight") for norm in ("attn_norm", "ffn_norm")]
        if architecture == "gemma3":
            tensors += [ones(f"{at}{norm}.weight") for norm in ("post_attention_norm", "post_ffw_norm")]
        if architecture in ("gemma3", "qwen3moe"):
            tensors += [ones(f"{at}{norm}.weight") for norm in ("attn_q_norm", "attn_k_norm")]
        tensors += [matrix(f"{at}{name}.weight", width, width) for name in ("attn_q", "attn_k", "attn_v", "attn_output")]
        if architecture == "qwen2":
            tensors += [matrix(f"{at}{name}.bias", width) for name in ("attn_q", "attn_k", "attn_v")]
        if experts:
            tensors.append(matrix(f"{at}ffn_gate_inp.weight", width, experts))
            tensors += [matrix(f"{at}{name}_exps.weight", width, width, experts) for name in ("ffn_gate", "ffn_up", "ffn_down")]
        else:
            tensors += [matrix(f"{at}{name}.weight", width, width) for name in ("ffn_gate", "ffn_up", "ffn_down")]
    return Model(architecture, values, tensors)
