# SPDX-License-Identifier: MIT
"""A network of Hugging Face Transformers: reads checkpoint folders and GGUF files (dequantized)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from transformers.cache_utils import DynamicCache, DynamicLayer

from .errors import SeamError, unsupported
from .model_files import digest_of, end_tokens
from .network import Cache, Description, Logits, Network
from .protocol import Head

DTYPES: dict[str, torch.dtype] = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
FAMILIES = ("gemma2", "gemma3_text", "llama", "qwen2", "qwen3")


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer of transformers' cache with its room allocated at once, instead of a new tensor for every token. It keeps every cell: a sliding
    window is the attention mask's business, which sees from get_seq_length() how many there are."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self.key_room, self.value_room = (
            torch.empty((*states.shape[:2], self.capacity, states.shape[3]), dtype=states.dtype, device=states.device)
            for states in (key_states, value_states)
        )
        self.keys, self.values = self.key_room[:, :, :0], self.value_room[:, :, :0]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        begin = self.keys.shape[2]
        end = begin + key_states.shape[2]
        self.key_room[:, :, begin:end] = key_states
        self.value_room[:, :, begin:end] = value_states
        self.keys, self.values = self.key_room[:, :, :end], self.value_room[:, :, :end]
        return self.keys, self.values


class TransformersCache(Cache):
    def __init__(self, layers: int, capacity: int) -> None:
        self.capacity = capacity
        self.object: Any = DynamicCache()
        self.object.layers = [RoomyLayer(capacity) for _ in range(layers)]

    @property
    def length(self) -> int:
        return int(self.object.layers[0].get_seq_length())

    @property
    def allocated_bytes(self) -> int:
        rooms = [room for layer in self.object.layers if layer.is_initialized for room in (layer.key_room, layer.value_room)]
        return sum(room.numel() * room.element_size() for room in rooms)

    def copy(self, tokens: int, capacity: int) -> TransformersCache:
        made = TransformersCache(len(self.object.layers), capacity)
        if tokens > 0:
            for mine, its in zip(self.object.layers, made.object.layers, strict=True):
                its.update(mine.keys[:, :, :tokens], mine.values[:, :, :tokens])
        return made

    def cells(self) -> list[npt.NDArray[np.uint8]]:
        if self.length == 0:
            return []
        tensors = [states for layer in self.object.layers for states in (layer.keys, layer.values)]
        return [tensor.contiguous().view(torch.uint8).cpu().numpy() for tensor in tensors]


class TransformersNetwork(Network):
    def __init__(self, path: Path, options: Head) -> None:
        if int(options["threads"]) > 0:
            torch.set_num_threads(int(options["threads"]))
        self._device = _device(int(options["gpu_layers"]))
        where: dict[str, Any] = {"pretrained_model_name_or_path": str(path)}
        if path.is_file():
            where = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
        model, attention = _load(where, _attention(options), _dtype(options["dtype"], path))
        self._model: Any = model.to(self._device).eval()
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
        config = model.config.get_text_config(decoder=True)
        heads = int(config.num_key_value_heads)
        size = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
        self._shape = (1, heads, -1, size)
        self._layers = int(config.num_hidden_layers)
        self.description = self._describe(path, config, attention, heads * size)

    def _describe(self, path: Path, config: Any, attention: str, cell_size: int) -> Description:
        model = self._model
        trained = int(config.max_position_embeddings)
        layer_types = getattr(config, "layer_types", None) or []
        window = int(config.sliding_window or 0) if "sliding_attention" in layer_types else 0
        # Once each: the embeddings may also be the head.
        kept = {parameter.data_ptr(): parameter.numel() * parameter.element_size() for parameter in model.parameters()}
        return Description(
            engine="transformers",
            build=f"transformers {transformers.__version__}, torch {torch.__version__}",
            model_name=path.stem if path.is_file() else path.name,
            architecture=str(config.model_type),
            model_bytes=sum(kept.values()),
            vocabulary=int(config.vocab_size),
            trained_context_tokens=trained,
            context_limit=trained,
            context_limit_reason="",
            window_tokens=window,
            cell_bytes=(cell_size * model.dtype.itemsize,) * (2 * self._layers),
            kv_type=next(name for name, known in DTYPES.items() if known == model.dtype),
            kernels=f"torch {attention} on {self._device}",
            threads=int(torch.get_num_threads()),
            flash_attention=attention == "sdpa",
            digest=digest_of(path),
            eos=end_tokens(self.tokenizer, model.generation_config, config),
            implementation={
                "loading": "AutoModelForCausalLM.from_pretrained()" + (", a GGUF file dequantized" if path.is_file() else ""),
                "tokenizer": "AutoTokenizer.from_pretrained()",
                "generation": "model(input_ids, past_key_values=cache), one sequence at a time",
                "attention": attention,
                "device": str(self._device),
                "weights": str(model.dtype).removeprefix("torch."),
                "computing": str(model.dtype).removeprefix("torch."),
            },
        )

    def peak_device_bytes(self) -> int:
        return int(torch.cuda.max_memory_allocated(self._device)) if self._device.type == "cuda" else 0

    def new_cache(self, capacity: int) -> TransformersCache:
        return TransformersCache(self._layers, capacity)

    def restored_cache(self, capacity: int, cells: list[memoryview]) -> TransformersCache:
        cache = self.new_cache(capacity)
        states = [torch.frombuffer(bytearray(part), dtype=self._model.dtype).reshape(self._shape).to(self._device) for part in cells]
        for layer, keys, values in zip(cache.object.layers, states[::2], states[1::2], strict=True):
            layer.update(keys, values)
        return cache

    def forward(self, cache: Cache, tokens: list[int], every: bool, positions: list[int] | None = None) -> Logits:
        assert isinstance(cache, TransformersCache)
        given = {} if positions is None else {"position_ids": torch.tensor([positions], device=self._device)}
        with torch.inference_mode():
            rows = self._model(
                input_ids=torch.tensor([tokens], device=self._device),
                past_key_values=cache.object,
                use_cache=True,
                logits_to_keep=0 if every else 1,
                **given,
            ).logits[0]
        logits: Logits = rows.float().cpu().numpy()
        return logits


def _device(gpu_layers: int) -> torch.device:
    if gpu_layers == 0:
        return torch.device("cpu")
    if gpu_layers > 0:
        raise unsupported("-ngl", "a framework puts the whole model on the GPU, not some layers", "use -ngl -1, or 0 for the CPU")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    raise unsupported("-ngl", "torch finds no GPU here", "leave -ngl away")


def _dtype(asked: str, path: Path) -> torch.dtype | str:
    if asked in DTYPES:
        return DTYPES[asked]
    if asked != "auto":
        raise SeamError("usage", f'there is no type "{asked}"', "--dtype", f"use auto, {', '.join(DTYPES)}")
    return torch.float32 if path.is_file() else "auto"


def _attention(options: Head) -> str:
    asked = str(options.get("attention", "auto"))
    if asked not in ("auto", "eager", "sdpa"):
        raise SeamError("usage", f'there is no attention "{asked}"', "--attention", "use auto, eager or sdpa")
    if not options["flash_attention"]:
        if asked == "sdpa":
            raise SeamError("usage", "sdpa is the fused attention that -fa off turns off", "--attention", "leave -fa away")
        return "eager"
    return asked


def _load(where: dict[str, Any], attention: str, dtype: torch.dtype | str) -> tuple[Any, str]:
    """The model, and how it computes attention."""
    try:
        config: Any = transformers.AutoConfig.from_pretrained(**where).get_text_config(decoder=True)
        if config.model_type not in FAMILIES:
            raise unsupported("-m", f"the architecture {config.model_type} is not tested here", f"use one of {', '.join(FAMILIES)}")
        capped = bool(getattr(config, "attn_logit_softcapping", None))
        if attention == "auto":
            attention = "eager" if capped else "sdpa"
        if attention == "sdpa" and capped:
            raise unsupported("--attention", f"transformers {transformers.__version__} has no sdpa that caps scores, as {config.model_type} needs", "use eager")
        model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=dtype, attn_implementation=attention)
    except SeamError:
        raise
    except Exception as error:  # whatever its readers raise
        reason = str(error).strip().partition("\n")[0]
        raise SeamError("corrupt", f"transformers cannot load it: {reason}", where["pretrained_model_name_or_path"]) from error
    return model, attention
