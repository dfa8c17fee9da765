#!/usr/bin/env python3
"""Model files that are damaged or made to harm, through `bulkhead run`: bits turned over, files cut short, and values and tables chosen
with care. None may end the program with a signal or hold it; a damaged file is code 4.

scripts/hostile/gguf.py PROGRAM [--most N] [--seed N] [--keep FOLDER] [--only WORDS]

--most bounds the tries of each kind (default: all of them, some minutes). Ends with `N tries, N signals, N hangs, N wrong codes`, and with
code 1 when any is not 0."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gguf_file import BOOL, F32, I32, LIST, TEXT, U32, U64, Model, Value, make_model
from tries import Tries, quiet_environment, sample

# A file may be odd and yet run (0, or 8 where one of its outputs failed); be of a kind that is not for us (2); be unable to take this
# text (3); be damaged (4); want more memory or context than there is (5).
ANY = (0, 2, 3, 4, 5, 8)
DAMAGED = (4,)
EDGES = (0, 1, 2, 3, 7, 513, 65535, 2**31 - 1, 2**31, 2**32 - 1)
Case = tuple[str, bytes, tuple[int, ...]]

COUNTS = [".block_count", ".context_length", ".embedding_length", ".feed_forward_length", ".vocab_size", ".attention.head_count", ".attention.head_count_kv", ".attention.key_length", ".attention.value_length", ".attention.key_length_swa", ".attention.sliding_window", ".attention.sliding_window_pattern", ".attention.shared_kv_layers", ".attention.kv_lora_rank", ".rope.dimension_count", ".rope.dimension_count_swa", ".rope.dimension_sections", ".rope.scaling.original_context_length", ".expert_count", ".expert_used_count", ".expert_group_count", ".expert_group_used_count", ".expert_shared_count", ".expert_feed_forward_length", ".expert_gating_func", ".leading_dense_block_count", ".nextn_predict_layers", ".embedding_length_out", ".embedding_length_per_layer_input", ".pooling_type", ".attention.causal", ".rope.scaling.type"]
NUMBERS = [".attention.layer_norm_rms_epsilon", ".attention.layer_norm_epsilon", ".rope.freq_base", ".rope.freq_base_swa", ".rope.scaling.factor", ".rope.scaling.attn_factor", ".attn_logit_softcapping", ".final_logit_softcapping", ".attention.scale", ".logit_scale", ".embedding_scale", ".attention.max_alibi_bias", ".attention.clamp_kqv", ".expert_weights_scale"]
TOKENS = ["bos", "eos", "unknown", "padding", "eot", "eom", "seperator", "mask", "cls", "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"]
OTHER_ARCHITECTURES = ("", "bert", "nomic-bert", "t5", "clip", "mamba", "mamba2", "rwkv6", "jamba", "gemma2", "gemma3n", "gemma4", "deepseek2",
                       "qwen3moe", "qwen3next", "gpt-oss", "llama4", "falcon-h1", "whisper", "wavtokenizer-dec", "llada", "dream", "phi3",
                       "gpt2", "bloom", "mpt", "starcoder", "minicpm3", "plamo2", "command-r", "dbrx", "olmo2", "glm4moe", "kimi-linear")


def headers(base: Model) -> Iterator[Case]:
    for version in (0, 1, 2, 4, 2**32 - 1):
        yield f"version {version}", base.encode(version=version), ANY if version in (2,) else DAMAGED
    for count in (0, len(base.values) - 1, len(base.values) + 1, 2**32, 2**63 - 1, 2**64 - 1):
        yield f"{count} values", base.encode(values=count), ANY if count == len(base.values) - 1 else DAMAGED
    for count in (0, len(base.tensors) - 1, len(base.tensors) + 1, 2**40, 2**63 - 1, 2**64 - 1):
        yield f"{count} tensors", base.encode(tensors=count), DAMAGED
    whole = base.encode()
    for place, name in ((24, "first key"), (24 + 8 + len("general.architecture") + 4, "first text"),
                        (whole.index(b"tokenizer.ggml.tokens") + len("tokenizer.ggml.tokens") + 8, "list of tokens")):
        for length in (2**31, 2**40, 2**63, 2**64 - 1, len(whole)):
            yield f"{name} of length {length}", whole[:place] + struct.pack("<Q", length) + whole[place + 8:], DAMAGED
    for alignment in (0, 1, 2, 3, 7, 16, 2**20, 2**31, 2**32 - 1):
        yield f"alignment {alignment}", base.bent("general.alignment", U32, alignment).encode(), DAMAGED if alignment != 16 else ANY
    yield "alignment as text", base.bent("general.alignment", TEXT, b"32").encode(), DAMAGED
    for kind in (13, 2**32 - 1):
        yield f"a value of kind {kind}", base.bent("x", kind, b"\0" * 8).encode(), DAMAGED
    yield "lists in lists", base.bent("x", LIST, struct.pack("<IQ", LIST, 1) * 1000 + struct.pack("<IQ", 0, 1) + b"a").encode(), DAMAGED
    yield "an endless list of lists", base.bent("x", LIST, struct.pack("<IQ", LIST, 2**63)).encode(), DAMAGED
    for key in ("", "\0", "k" * 10**6, "\udcff\udcfe"):
        bent = base.bent("x", TEXT, b"y")
        bent.values = dict(bent.values)
        bent.values[key.encode("utf-8", "surrogateescape")] = bent.values.pop(b"x")
        yield f"key {key[:8]!r}", bent.encode(), ANY
    for name, text in (("not UTF-8", b"\xff\xfe name"), ("escapes", b"\x1b[31mred\x1b[0m\x07"), ("with NUL", b"a\0b"), ("of a megabyte", b"n" * 10**6),
                       ("in HTML", b"<script>alert(1)</script>"), ("in a table", b"a|b\n| x |")):
        yield f"a name {name}", base.bent("general.name", TEXT, text).encode(), (0,)
    yield "a name that is a number", base.bent("general.name", U32, 5).encode(), ANY


def tensors(base: Model) -> Iterator[Case]:
    last = len(base.tensors) - 1
    for sizes in ([2**63, 2], [2**32, 2**32], [2**62, 2**62], [0, 0], [0], [2**64 - 1, 64], [1] * 5, [], [2**31, 2**31], [64, 2**40], [1] * 100,
                  [1, 2**63 - 1], [2**21] * 3, [2**16] * 4):
        for index in (0, last):
            yield f"sizes {str(sizes)[:40]} of tensor {index}", base.with_tensor(index, sizes=sizes).encode(), DAMAGED
    for offset in (1, 31, 32, 2**63, 2**64 - 1, 2**64 - 32, 2**40):
        for index in (0, 1, last):
            wrong = DAMAGED if (index, offset) != (0, 0) else ANY
            yield f"offset {offset} of tensor {index}", base.with_tensor(index, offset=offset).encode(), wrong
    for kind in (1, 2, 3, 4, 5, 8, 12, 14, 20, 30, 36, 39, 40, 41, 42, 100, 255, 2**31, 2**32 - 1):
        for index in (0, 1, last):
            yield f"kind {kind} of tensor {index}", base.with_tensor(index, kind=kind).encode(), ANY
    for name in (base.tensors[1].name, b"x" * 64, b"x" * 10000, b"a\0b", b"", b"blk.4000000000.attn_q.weight", b"\xff"):
        yield f"name {name[:20]!r} of tensor 0", base.with_tensor(0, name=name).encode(), DAMAGED
    bare = base.bent("x", U32, 0)
    bare.tensors = []
    yield "no tensors", bare.encode(), DAMAGED
    empty = base.bent("x", U32, 0)
    empty.values = {}
    yield "no values", empty.encode(), DAMAGED


def hyperparameters(base: Model) -> Iterator[Case]:
    for key in COUNTS:
        for value in EDGES:
            yield f"{key} = {value}", base.bent(key, U32, value).encode(), ANY
        for name, kind, content in (("an empty list", LIST, (U32, [])), ("a short list", LIST, (U32, [1])), ("a long list", LIST, (U32, [1] * 600)),
                                    ("a list of zeros", LIST, (U32, [0] * 3)), ("a list that differs", LIST, (U32, [1, 2**31, 0])),
                                    ("text", TEXT, b"x"), ("not a number", F32, float("nan")), ("-1", I32, -1), ("64 bits", U64, 2**40), ("true", BOOL, True)):
            yield f"{key} is {name}", base.bent(key, kind, content).encode(), ANY
    for key in NUMBERS:
        for value in (0.0, -1.0, float("nan"), float("inf"), 1e38, 1e-45):
            yield f"{key} = {value}", base.bent(key, F32, value).encode(), ANY
        yield f"{key} is text", base.bent(key, TEXT, b"1").encode(), ANY
    for scaling in (b"", b"none", b"linear", b"yarn", b"longrope", b"\xff"):
        yield f"rope scaling {scaling}", base.bent(".rope.scaling.type", TEXT, scaling).encode(), ANY
    for name in OTHER_ARCHITECTURES:
        other = Model(name, {}, base.tensors)
        own = base.architecture.encode() + b"."
        other.values = {key.replace(own, name.encode() + b".", 1) if key.startswith(own) else key: value for key, value in base.values.items()}
        other.values[b"general.architecture"] = Value(TEXT, name.encode())
        yield f"architecture {name!r} for {base.architecture}", other.encode(), ANY
    for name in (b"\xff\xfe", b"x" * 100000):
        yield f"architecture {name[:8]!r}", base.bent("general.architecture", TEXT, name).encode(), ANY
    for count, number in ((0, 0), (1, 0), (2, 0), (65535, 0), (2, 1), (2, 65535)):
        yield f"part {number} of {count}", base.bent("split.count", 2, count).bent("split.no", 2, number).encode(), ANY


def tokenizers(base: Model) -> Iterator[Case]:
    _, tokens = base.values[b"tokenizer.ggml.tokens"].content
    count = len(tokens)
    lists = {"none": [], "one": [b"a"], "half": tokens[:count // 2], "twice as many": tokens + [b"z%d" % i for i in range(count)], "empty": [b""] * count,
             "all the same": [tokens[0]] * count, "with NUL": [b"\0%d" % i for i in range(count)], "not UTF-8": [b"\xff\xfe%d" % i for i in range(count)],
             "long": [(b"%d" % i) * 30000 if i < 100 else token for i, token in enumerate(tokens)], "without bytes": [b"w%d" % i for i in range(count)]}
    for name, other in lists.items():
        yield f"tokens: {name}", base.bent("tokenizer.ggml.tokens", LIST, (TEXT, other)).encode(), ANY
    for key in TOKENS:
        for value in (count, count + 1, 2**31 - 1, 2**31, 2**32 - 1):
            yield f"{key} token {value}", base.bent(f"tokenizer.ggml.{key}_token_id", U32, value).encode(), ANY
    for kind in (b"", b"llama", b"bert", b"gpt2", b"t5", b"rwkv", b"plamo2", b"gemma4", b"hybriddna", b"test", b"none", b"no_vocab", b"\xff\xfe", b"x" * 100000):
        bent = base.bent("tokenizer.ggml.model", TEXT, kind)
        yield f"tokenizer {kind[:10]} for {base.architecture}", bent.encode(), ANY
        yield f"tokenizer {kind[:10]} for {base.architecture}, with spaces", bent.bent("tokenizer.ggml.add_space_prefix", BOOL, True).encode(), ANY
        merges = bent.bent("tokenizer.ggml.merges", LIST, (TEXT, [b"a b", b"ab c", b"none", b"", b" ", b"  ", b"\xff \xfe"]))
        yield f"tokenizer {kind[:10]} for {base.architecture}, odd merges", merges.encode(), ANY
    for form in (b"", b"default", b"llama-bpe", b"deepseek-llm", b"deepseek-v3", b"gpt-4o", b"tekken", b"bert", b"\xff", b"zzz"):
        bent = base.bent("tokenizer.ggml.model", TEXT, b"gpt2").bent("tokenizer.ggml.merges", LIST, (TEXT, [b"t h"]))
        yield f"splitting as {form}", bent.bent("tokenizer.ggml.pre", TEXT, form).encode(), ANY
    for name, content in (("as numbers", (U32, [1, 2])), ("none", (TEXT, []))):
        yield f"merges {name}", base.bent("tokenizer.ggml.model", TEXT, b"gpt2").bent("tokenizer.ggml.merges", LIST, content).encode(), ANY
    for blob in (b"", b"\0", b"\xff" * 8, struct.pack("<I", 2**31) + b"\0" * 64, struct.pack("<I", 16) + b"\xff" * 16 + b"a"):
        bent = base.bent("tokenizer.ggml.model", TEXT, b"t5").bent("tokenizer.ggml.precompiled_charsmap", LIST, (0, list(blob)))
        yield f"map of characters {blob[:8]!r}", bent.encode(), ANY
    for value in (float("nan"), float("inf"), -float("inf")):
        yield f"scores {value}", base.bent("tokenizer.ggml.scores", LIST, (F32, [value] * count)).encode(), ANY
    yield "odd kinds of tokens", base.bent("tokenizer.ggml.token_type", LIST, (I32, [(-1)**i * (2**31 - 1) for i in range(count)])).encode(), ANY
    for key in ("tokens", "scores", "token_type"):
        yield f"{key} as text", base.bent(f"tokenizer.ggml.{key}", TEXT, b"x").encode(), ANY
        yield f"{key} as numbers", base.bent(f"tokenizer.ggml.{key}", LIST, (U32, [1] * count)).encode(), ANY
        yield f"{key} as lists", base.bent(f"tokenizer.ggml.{key}", LIST, struct.pack("<IQ", LIST, 0)).encode(), ANY
        short = base.bent(f"tokenizer.ggml.{key}", LIST, (U32, []))
        yield f"{key} empty", short.encode(), ANY


def crafted() -> Iterator[Case]:
    gemma, llama = make_model("gemma3", window=16), make_model("llama")
    qwen, mixture = make_model("qwen2"), make_model("qwen3moe", experts=4)
    yield from headers(gemma)
    yield from tensors(gemma)
    for base in (gemma, llama, mixture):
        yield from ((f"{base.architecture}: {name}", data, allowed) for name, data, allowed in hyperparameters(base))
    for base in (gemma, qwen):
        yield from ((f"{base.architecture}: {name}", data, allowed) for name, data, allowed in tokenizers(base))


def flips(count: int, seed: int) -> Iterator[Case]:
    """Bits and bytes changed in the header, where they are most likely to matter."""
    for number, base in enumerate((make_model("gemma3", window=16), make_model("qwen2"), make_model("qwen3moe", experts=4))):
        header, data = base.parts()
        chance = random.Random(seed * 3 + number)
        for index in range(number, count, 3):
            bent = bytearray(header)
            for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
                at = chance.randrange(len(bent))
                bent[at] = bent[at] ^ (1 << chance.randrange(8)) if chance.random() < 0.6 else chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            yield f"flip {seed}.{index} of {base.architecture}", bytes(bent) + data, ANY


def cuts(count: int, seed: int) -> Iterator[Case]:
    whole = make_model("gemma3").encode()
    header = len(make_model("gemma3").parts()[0])
    chance = random.Random(seed)
    ends = [chance.choice((chance.randrange(header + 64), chance.randrange(len(whole)), len(whole) - 1 - chance.randrange(64))) for _ in range(count)]
    yield from ((f"cut at {end}", whole[:end], DAMAGED) for end in ends)


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("program")
    flags.add_argument("--most", type=int, default=0)
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--keep", type=Path, help="put the files that something was found with there")
    flags.add_argument("--only", default="", help="cases whose names hold this")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenario = folder / "small.json"
        turns = [{"turn_id": number, "cluster": number, "role": "user", "type": "context", "content": text} for number, text in ((1, "the thin man"), (2, "in an inn"))]
        clusters = {f"cluster_{number}": {"task_type": "one", "turns": [number], "terminology": ["inn"]} for number in (1, 2)}
        scenario.write_text(json.dumps({"id": "small", "domain": "d", "semantic_clusters": clusters, "turns": turns}))
        tries = Tries(chosen.program, quiet_environment(folder))
        model = folder / "bent.gguf"

        def attempt(case: str, data: bytes, allowed: tuple[int, ...]) -> None:
            model.write_bytes(data)
            found = len(tries.signals) + len(tries.hangs) + len(tries.wrong)
            for patience in (30, 300):  # once more, where it was the machine that had no time for it
                shutil.rmtree(folder / "out", ignore_errors=True)
                outcome = tries.start(["run", str(scenario), "-m", str(model), "--conditions", "semantic,sequential", "-n", "3", "--temp", "0", "-t", "2", "-q",
                                       "--no-packed-cache", "--out", str(folder / "out")], patience)
                if not outcome.hung:
                    break
            tries.judge(case, outcome, allowed)
            if chosen.keep and len(tries.signals) + len(tries.hangs) + len(tries.wrong) > found:
                chosen.keep.mkdir(parents=True, exist_ok=True)
                (chosen.keep / ("".join(c if c.isalnum() else "_" for c in case)[:100] + ".gguf")).write_bytes(data)

        for base in ("gemma3", "llama", "qwen2"):
            attempt(f"{base} as it should be", make_model(base).encode(), (0,))
        attempt("qwen3moe as it should be", make_model("qwen3moe", experts=4).encode(), (0,))
        for kind in (crafted, lambda: flips(400, chosen.seed), lambda: cuts(130, chosen.seed)):
            # Twice: the files of all cases together are too many to hold.
            taken = set(sample([case for case, _, _ in kind() if chosen.only in case], chosen.most))
            for case, data, allowed in kind():
                if case in taken:
                    attempt(case, data, allowed)
        return tries.summary()


if __name__ == "__main__":
    sys.exit(main())
