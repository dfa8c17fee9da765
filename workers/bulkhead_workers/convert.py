# SPDX-License-Identifier: MIT
"""The same weights for every framework, made of one GGUF file.

Run as: python -m bulkhead_workers.convert MODEL.gguf FOLDER [--dtype f32|bf16] [--only gguf,checkpoint,mlx,mlx-8bit,mlx-4bit]

The file is dequantized once, into FOLDER/model-DTYPE.gguf; FOLDER/checkpoint-DTYPE (Transformers) is made of that, FOLDER/mlx-DTYPE of the
checkpoint: in these three the weights are the same numbers. FOLDER/mlx-8bit and mlx-4bit are quantized anew, by mlx_lm. Each appears whole or
not at all; what is there already is left alone. `bulkhead convert` runs this; exit codes are those of docs/exit-codes.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"f32": "float32", "bf16": "bfloat16"}
MADE = ("gguf", "checkpoint", "mlx", "mlx-8bit", "mlx-4bit")


def write_gguf(source: Path, target: Path, dtype: str) -> None:
    """All metadata as it is, all tensors dequantized; vectors stay f32 in every type, as llama.cpp wants them."""
    import gguf

    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(target, arch=architecture)
    for name, field in reader.fields.items():
        if name == "general.architecture" or name.startswith("GGUF.") or name in ("general.file_type", "general.quantization_version"):
            continue
        element = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if dtype == "f32" else gguf.LlamaFileType.MOSTLY_BF16)
    kept = {"f32": gguf.GGMLQuantizationType.F32, "bf16": gguf.GGMLQuantizationType.BF16}[dtype]
    tensors = []
    for tensor in reader.tensors:
        kind = kept if len(tensor.shape) > 1 else gguf.GGMLQuantizationType.F32
        tensors.append((tensor, kind))
        shape = tuple(int(size) for size in reversed(tensor.shape))
        size = gguf.quants.quant_shape_to_byte_shape(shape, kind)
        writer.add_tensor_info(tensor.name, size, np.dtype(np.uint8), math.prod(size), kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor, kind in tensors:
        writer.write_tensor_data(gguf.quants.quantize(_rows(tensor), kind))
    writer.close()


def _rows(tensor: Any) -> Any:
    import gguf

    return gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape([int(size) for size in reversed(tensor.shape)])


def write_checkpoint(source: Path, target: Path, dtype: str) -> None:
    import transformers

    where: dict[str, Any] = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=TYPES[dtype])
    # The weights are plain by now, but the model may still say that it is quantized, and would be refused when saved.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(**where)
    tokenizer.save_pretrained(target)


def write_mlx(source: Path, target: Path, dtype: str, bits: int | None) -> None:
    from mlx_lm import convert

    from .mlx_network import read_config

    convert(str(source), str(target), quantize=bits is not None, q_bits=bits, q_group_size=64, dtype=TYPES[dtype])
    # With what mlx_lm looks for, so that its own commands compute rightly too.
    config = {**json.loads((target / "config.json").read_text()), **read_config(source)}
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")


def whole(target: Path, make: Callable[[Path], None]) -> None:
    """Runs `make` on a name beside `target`, and gives it its name when it is done."""
    if target.exists():
        print(f"convert: {target} is there already", file=sys.stderr)
        return
    staging = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=target.parent))
    try:
        make(staging / target.name)
        (staging / target.name).rename(target)
        print(f"convert: {target}", file=sys.stderr)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def run(model: Path, folder: Path, dtype: str, wanted: set[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file, checkpoint = folder / f"model-{dtype}.gguf", folder / f"checkpoint-{dtype}"
    whole(file, lambda target: write_gguf(model, target, dtype))
    if wanted & set(MADE[1:]):
        whole(checkpoint, lambda target: write_checkpoint(file, target, dtype))
    if "mlx" in wanted:
        whole(folder / f"mlx-{dtype}", lambda target: write_mlx(checkpoint, target, dtype, None))
    for bits in (8, 4):
        if f"mlx-{bits}bit" in wanted:
            whole(folder / f"mlx-{bits}bit", lambda target, bits=bits: write_mlx(checkpoint, target, dtype, bits))  # type: ignore[misc]


def main() -> int:
    parser = argparse.ArgumentParser(prog="convert", description="The same weights for every framework, made of one GGUF file.")
    parser.add_argument("model", type=Path, help="a GGUF file")
    parser.add_argument("folder", type=Path, help="where everything goes")
    parser.add_argument("--dtype", choices=tuple(TYPES), default="bf16")
    parser.add_argument("--only", default=",".join(MADE), help=f"a list of {', '.join(MADE)}; what these are made of is made too")
    arguments = parser.parse_args()
    wanted = set(arguments.only.split(","))
    if not wanted <= set(MADE):
        parser.error(f"--only knows {', '.join(MADE)}")
    if not arguments.model.is_file():
        parser.error(f"there is no file {arguments.model}")
    os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"})
    # An exception, so that what is unfinished is taken away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        run(arguments.model.resolve(), arguments.folder.resolve(), arguments.dtype, wanted)
    except (ValueError, KeyError, IndexError) as error:
        print(f"convert: {arguments.model} cannot be read as a model: {error}", file=sys.stderr)
        return 4
    except OSError as error:
        print(f"convert: {arguments.folder}: {error}", file=sys.stderr)
        return 5
    return 0


if __name__ == "__main__":
    sys.exit(main())
