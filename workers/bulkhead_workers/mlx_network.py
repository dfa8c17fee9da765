# SPDX-License-Identifier: MIT
"""A network of mlx_lm: reads folders with MLX models (also quantized ones) and with checkpoints of Transformers."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from mlx.utils import tree_flatten
from mlx_lm.models.cache import KVCache
from mlx_lm.utils import load_model
from transformers import AutoTokenizer

from .errors import SeamError, unsupported
from .model_files import digest_of, end_tokens
from .network import Cache, Description, Logits, Network
from .protocol import Head

DTYPES: dict[str, mx.Dtype] = {"f32": mx.float32, "bf16": mx.bfloat16, "f16": mx.float16}
FAMILIES = ("gemma2", "gemma3_text", "llama", "qwen2", "qwen3")


class MlxCache(Cache):
    """One KVCache of mlx_lm for every layer. It grows by its `step`: with all its room at the first token."""

    def __init__(self, layers: int, capacity: int) -> None:
        self.capacity = capacity
        self.layers: list[Any] = [KVCache() for _ in range(layers)]
        for layer in self.layers:
            layer.step = capacity

    @property
    def length(self) -> int:
        return int(self.layers[0].offset)

    @property
    def allocated_bytes(self) -> int:
        return sum(int(layer.nbytes) for layer in self.layers)

    def fill(self, states: list[mx.array]) -> None:
        for layer, keys, values in zip(self.layers, states[::2], states[1::2], strict=True):
            layer.update_and_fetch(keys, values)
        mx.eval([array for layer in self.layers for array in (layer.keys, layer.values)])

    def states(self, tokens: int) -> list[mx.array]:
        return [array[..., :tokens, :] for layer in self.layers for array in (layer.keys, layer.values)]

    def copy(self, tokens: int, capacity: int) -> MlxCache:
        made = MlxCache(len(self.layers), capacity)
        if tokens > 0:
            made.fill(self.states(tokens))
        return made

    def cells(self) -> list[npt.NDArray[np.uint8]]:
        if self.length == 0:
            return []
        return [np.array(mx.contiguous(state).view(mx.uint8)) for state in self.states(self.length)]


class MlxNetwork(Network):
    # On a CPU, where mlx computes 256 tokens of Gemma 3 270M no faster than four times 64, in half a minute or more.
    chunk = 64

    def __init__(self, path: Path, options: Head) -> None:
        _set_device(int(options["gpu_layers"]))
        if not options["flash_attention"]:
            raise unsupported("-fa", "mlx_lm has one way of attention", "leave -fa away")
        config = read_config(path)
        self._model, self.tokenizer = _load(path, config)
        parameters = [array for _, array in tree_flatten(self._model.parameters())]
        self._type = _cast(self._model, options["dtype"], parameters)
        self._layers = len(self._model.layers)
        heads = int(config["num_key_value_heads"])
        size = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
        self._shape = (1, heads, -1, size)
        self.description = self._describe(path, config, heads * size)

    def _describe(self, path: Path, config: dict[str, Any], cell_size: int) -> Description:
        trained = int(config["max_position_embeddings"])
        family = str(config["model_type"])
        window = int(config.get("sliding_window") or 0) if family in ("gemma2", "gemma3_text") else 0
        # mlx_lm computes Gemma 2 without its sliding window: right as long as everything lies within it.
        limit = min(window, trained) if family == "gemma2" else trained
        bits = (config.get("quantization") or {}).get("bits")
        return Description(
            engine="mlx",
            build=f"mlx_lm {version('mlx-lm')}, mlx {version('mlx')}",
            model_name=path.name,
            architecture=family,
            model_bytes=sum(array.nbytes for _, array in tree_flatten(self._model.parameters())),
            vocabulary=int(config["vocab_size"]),
            trained_context_tokens=trained,
            context_limit=limit,
            context_limit_reason="mlx_lm can do: it knows no sliding window for Gemma 2",
            window_tokens=window,
            cell_bytes=(cell_size * self._type.size,) * (2 * self._layers),
            kv_type=next(name for name, known in DTYPES.items() if known == self._type),
            kernels=f"mlx on {mx.default_device().type.name}" + (f", {bits}-bit weights" if bits else ""),
            threads=1,
            flash_attention=True,
            digest=digest_of(path),
            eos=end_tokens(self.tokenizer, _Named(config)),
            implementation={
                "loading": "mlx_lm.utils.load_model()",
                "tokenizer": "AutoTokenizer.from_pretrained()",
                "generation": "model(tokens, cache=layers), one sequence at a time",
                "attention": "mx.fast.scaled_dot_product_attention, by mlx_lm",
                "device": str(mx.default_device().type.name),
                "weights": f"{bits} bit" if bits else str(self._type).removeprefix("mlx.core."),
                "computing": str(self._type).removeprefix("mlx.core."),
            },
        )

    def peak_device_bytes(self) -> int:
        return int(mx.get_peak_memory()) if mx.default_device().type == mx.DeviceType.gpu else 0

    def new_cache(self, capacity: int) -> MlxCache:
        return MlxCache(self._layers, capacity)

    def restored_cache(self, capacity: int, cells: list[memoryview]) -> MlxCache:
        cache = self.new_cache(capacity)
        cache.fill([mx.array(np.frombuffer(part, dtype=np.uint8)).view(self._type).reshape(self._shape) for part in cells])
        return cache

    def forward(self, cache: Cache, tokens: list[int], every: bool, positions: list[int] | None = None) -> Logits:
        assert isinstance(cache, MlxCache)
        assert positions is None  # check_fixed() has refused them: mlx_lm takes none
        if not every and len(tokens) > 1:
            # mlx_lm computes logits for every token it is given: its layers alone do for all but the last.
            self._model.model(mx.array([tokens[:-1]]), cache.layers)
            tokens = tokens[-1:]
        rows = self._model(mx.array([tokens]), cache=cache.layers)[0].astype(mx.float32)
        mx.eval(rows, [array for layer in cache.layers for array in (layer.keys, layer.values)])
        logits: Logits = np.array(rows)
        return logits


class _Named:
    """A configuration read from a file, with the one attribute that is asked for."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.eos_token_id = config.get("eos_token_id")


def _set_device(gpu_layers: int) -> None:
    if gpu_layers > 0:
        raise unsupported("-ngl", "a framework puts the whole model on the GPU, not some layers", "use -ngl -1, or 0 for the CPU")
    if gpu_layers < 0 and not mx.metal.is_available():
        raise unsupported("-ngl", "mlx finds no GPU here", "leave -ngl away")
    mx.set_default_device(mx.Device(mx.cpu if gpu_layers == 0 else mx.gpu))


def read_config(path: Path) -> dict[str, Any]:
    """config.json, with what transformers 5 calls otherwise put where mlx_lm looks for it: it would take its defaults without a word."""
    try:
        config: dict[str, Any] = json.loads((path / "config.json").read_text())
        family = config["model_type"]
    except (OSError, ValueError, KeyError) as error:
        raise SeamError("corrupt", f"there is no readable config.json: {error}", str(path)) from error
    if family not in FAMILIES:
        raise unsupported("-m", f"the architecture {family} is not tested here", f"use one of {', '.join(FAMILIES)}")
    rope = config.get("rope_parameters")
    if isinstance(rope, dict) and "full_attention" in rope:
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    if isinstance(rope, dict):
        config["rope_theta"] = rope["rope_theta"]
        config["rope_scaling"] = rope if rope.get("rope_type", "default") != "default" else None
    kinds = config.get("layer_types") or []
    if family == "gemma3_text" and kinds:
        pattern = kinds.index("full_attention") + 1 if "full_attention" in kinds else len(kinds) + 1
        expected = ["full_attention" if (place + 1) % pattern == 0 else "sliding_attention" for place in range(len(kinds))]
        if kinds != expected:
            raise unsupported("-m", "its layers with a sliding window follow no pattern that mlx_lm knows")
        config["sliding_window_pattern"] = pattern
    return config


def _load(path: Path, config: dict[str, Any]) -> tuple[Any, Any]:
    try:
        model, _ = load_model(path, model_config=config)
        return model, AutoTokenizer.from_pretrained(path)
    except Exception as error:  # whatever its readers raise
        raise SeamError("corrupt", f"mlx_lm cannot load it: {str(error).strip().partition(chr(10))[0]}", str(path)) from error


def _cast(model: Any, asked: str, parameters: list[mx.array]) -> mx.Dtype:
    """What it computes in: the type of its weights that are numbers, or the one asked for."""
    floating = [array.dtype for array in parameters if mx.issubdtype(array.dtype, mx.floating)]
    if asked == "auto":
        return max(set(floating), key=floating.count)
    if asked not in DTYPES:
        raise SeamError("usage", f'there is no type "{asked}"', "--dtype", f"use auto, {', '.join(DTYPES)}")
    model.set_dtype(DTYPES[asked])
    mx.eval(model.parameters())
    return DTYPES[asked]
