# SPDX-License-Identifier: MIT
"""Both frameworks on tiny models: the cache objects against computation without a cache, windows, copies, and against each other."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
FAMILIES = ("gemma2", "gemma3", "llama", "qwen2")
OPTIONS: dict[str, Any] = {"threads": 1, "gpu_layers": 0, "flash_attention": True, "dtype": "auto", "path": ""}
WINDOW = 32


@functools.cache
def checkpoints() -> Path:
    """Made once for all tests, with another base of rotation than the frameworks' defaults."""
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    script = str(ROOT / "tests/engines/tiny_checkpoints.py")
    subprocess.run([sys.executable, script, folder, "--theta", "5000"], check=True, capture_output=True)
    return Path(folder)


def network(framework: str, family: str) -> Any:
    path = checkpoints() / family
    if framework == "mlx":
        from bulkhead_workers.mlx_network import MlxNetwork

        return MlxNetwork(path, OPTIONS)
    from bulkhead_workers.transformers_network import TransformersNetwork

    return TransformersNetwork(path, OPTIONS)


def tokens(count: int, family: str = "gemma3") -> list[int]:
    """Of printable text; the others have no weights where embeddings are the head too."""
    begin = 6 if family == "qwen2" else 262
    return [int(token) for token in np.random.RandomState(5).randint(begin, begin + 90, count)]


class Networks(unittest.TestCase):
    def test_tell_how_they_do_things_and_what_they_held(self) -> None:
        from bulkhead_workers.engine import SequenceEngine
        from bulkhead_workers.protocol import Frame

        told = {"loading", "tokenizer", "context", "generation", "sampling", "cache", "attention", "device", "weights", "computing"}
        for framework in ("transformers", "mlx"):
            engine = SequenceEngine(network(framework, "gemma3"), {**OPTIONS, "context_tokens": 0, "isolation": "auto"})
            self.assertEqual(set(engine.facts()["implementation"]), told)
            self.assertTrue(all(engine.facts()["implementation"].values()))
            memory = engine.answer_any_time("memory", Frame({})).head
            self.assertGreater(memory["peak_rss_bytes"], 50_000_000)  # the framework alone is more
            self.assertEqual(memory["peak_device_bytes"], 0)

    def test_agree_with_the_model_without_any_cache_of_ours(self) -> None:
        import torch
        import transformers

        for family in FAMILIES:
            given = tokens(3 * WINDOW, family)
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(checkpoints() / family, attn_implementation="eager")
            with torch.inference_mode():
                expected = model(input_ids=torch.tensor([given]), use_cache=False).logits[0].numpy()
            for framework in ("transformers", "mlx"):
                with self.subTest(family=family, framework=framework):
                    made = network(framework, family)
                    cache = made.new_cache(200)
                    rows = [made.forward(cache, given[:70], True), made.forward(cache, given[70:71], True), made.forward(cache, given[71:], True)]
                    self.assertEqual(cache.length, len(given))
                    # f32 sums of 64 products through six layers: 1e-5 of the logits' size is generous, a wrong window or position is 1e-1.
                    worst = np.abs(np.concatenate(rows) - expected).max() / np.abs(expected).max()
                    self.assertLess(worst, 1e-5)
                    last = made.forward(made.new_cache(200), given, False)
                    self.assertEqual(last.shape, (1, expected.shape[1]))
                    self.assertLess(np.abs(last[0] - expected[-1]).max() / np.abs(expected).max(), 1e-5)

    def test_a_window_hides_what_lies_before_it(self) -> None:
        """In Gemma 3 five layers see 32 tokens, the sixth all: with that one made blind, the first token cannot matter any more."""
        import torch

        made = network("transformers", "gemma3")
        last = made._model.model.layers[5].self_attn
        with torch.no_grad():
            last.o_proj.weight.zero_()
        # Five layers of windows reach back 5 * 31 tokens.
        given = tokens(6 * WINDOW)
        other = [given[0] + 1, *given[1:]]
        one, two = (made.forward(made.new_cache(256), each, True) for each in (given, other))
        self.assertTrue(np.array_equal(one[-1], two[-1]))
        self.assertFalse(np.array_equal(one[WINDOW], two[WINDOW]))

    def test_copies_share_nothing_and_cells_restore_bit_for_bit(self) -> None:
        given = tokens(50)
        for framework in ("transformers", "mlx"):
            with self.subTest(framework=framework):
                made = network(framework, "gemma3")
                cache = made.new_cache(64)
                made.forward(cache, given, False)
                before = [cells.tobytes() for cells in cache.cells()]
                copy = cache.copy(40, 100)
                made.forward(copy, [9, 10, 11], False)
                self.assertEqual([cells.tobytes() for cells in cache.cells()], before)
                self.assertEqual((copy.length, copy.capacity), (43, 100))
                self.assertEqual(copy.allocated_bytes, 100 * made.description.kv_bytes_per_token)
                restored = made.restored_cache(80, [memoryview(cells) for cells in before])
                one, two = made.forward(cache, [9], False), made.forward(restored, [9], False)
                self.assertTrue(np.array_equal(one, two))


if __name__ == "__main__":
    unittest.main()
