#!/usr/bin/env python3
"""Turns a GGUF model into a Transformers checkpoint in bfloat16, for frameworks that read no GGUF: the same weights, dequantized.

Usage: gguf_to_checkpoint.py MODEL.gguf FOLDER      (in an environment with transformers, accelerate, gguf and torch)
The folder appears whole or not at all; one that is already there is left alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any


def convert(model: Path, folder: Path) -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    staging = Path(tempfile.mkdtemp(prefix=folder.name + ".", dir=folder.parent))
    try:
        network: Any = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype="bfloat16")
        # The weights are dequantized by now, but the model still says that it is quantized, and would be refused when saved.
        network.hf_quantizer = None
        if hasattr(network.config, "quantization_config"):
            del network.config.quantization_config
        network.save_pretrained(staging)
        tokenizer: Any = AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
        tokenizer.save_pretrained(staging)
        staging.chmod(0o755)
        staging.rename(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Turns a GGUF model into a Transformers checkpoint in bfloat16.")
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if not arguments.model.is_file():
        print(f"gguf_to_checkpoint: there is no file {arguments.model}", file=sys.stderr)
        return 2
    if arguments.folder.exists():
        print(f"gguf_to_checkpoint: {arguments.folder} is there already; remove it to convert anew", file=sys.stderr)
        return 2
    arguments.folder.parent.mkdir(parents=True, exist_ok=True)
    convert(arguments.model.resolve(), arguments.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
