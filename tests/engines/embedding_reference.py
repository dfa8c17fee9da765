"""What transformers makes of texts with all-MiniLM-L6-v2: vectors for tests/engines/text_embedder_test.cpp.

Usage: embedding_reference.py OUT.json        (in the workers' environment)
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModel, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
TEXTS = [
    "The wall of the harbour was built by Ana in May.",
    "In May Ana built the harbour's wall.",
    "Quarterly revenue fell by 3 %; the board meets on Friday.",
    "x",
    "Gr\u00f6\u00dfe, \u4e2d\u6587 and na\u00efve caf\u00e9",
    "pier gutter " * 400,  # more tokens than the model takes
]
MOST_TOKENS = 512


def main() -> None:
    model = subprocess.run([ROOT / "scripts/embedding_model.sh"], check=True, capture_output=True, text=True).stdout.strip()
    checkpoint = Path(model).parent.parent / "converted" / "all-minilm-l6-v2"
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    network = AutoModel.from_pretrained(checkpoint, dtype=torch.float32).eval()
    vectors = []
    for text in TEXTS:
        given = tokenizer(text, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
        with torch.no_grad():
            mean = network(**given).last_hidden_state[0].mean(dim=0)
        vectors.append((mean / mean.norm()).tolist())
    Path(sys.argv[1]).write_text(json.dumps({"model": model, "texts": TEXTS, "vectors": vectors}))


if __name__ == "__main__":
    main()
