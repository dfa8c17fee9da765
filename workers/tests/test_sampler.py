# SPDX-License-Identifier: MIT
"""The draws of tests/engines/sampler_draws_test.cpp, made here from the same logits."""

from __future__ import annotations

import json
import unittest
from pathlib import Path
from typing import Any

import numpy as np
from bulkhead_workers.errors import SeamError
from bulkhead_workers.sampler import Sampler, sampling_from

DRAWS = Path(__file__).resolve().parents[2] / "tests/data/sampler_draws.json"


class Draws(unittest.TestCase):
    def test_are_those_of_the_llama_engine(self) -> None:
        document = json.loads(DRAWS.read_text())
        mixed = (np.arange(document["logits"], dtype=np.uint64) * 2654435761) % (1 << 32)
        logits = (mixed.astype(np.float64) * 12.0 / 4294967296.0 - 6.0).astype(np.float32)
        self.assertGreaterEqual(len(document["cases"]), 10)
        for case in document["cases"]:
            with self.subTest(**{key: value for key, value in case.items() if key != "tokens"}):
                sampler = Sampler(sampling_from(case), case["forbidden"])
                drawn: list[int] = []
                for _ in case["tokens"]:
                    token = sampler.draw(logits, drawn)
                    assert token is not None
                    drawn.append(token)
                self.assertEqual(drawn, case["tokens"])

    def test_without_a_finite_logit_there_is_none(self) -> None:
        options = {"top_k": 0, "top_p": "1", "min_p": "0", "repeat_penalty": "1", "repeat_last_n": 0, "seed": 1}
        for temperature in ("0", "1"):
            sampler = Sampler(sampling_from({**options, "temperature": temperature}), [])
            self.assertIsNone(sampler.draw(np.full(5, np.nan, dtype=np.float32), []))
            self.assertIsNone(sampler.draw(np.full(5, -np.inf, dtype=np.float32), []))
            self.assertEqual(sampler.draw(np.array([np.nan, 1, np.nan], dtype=np.float32), []), 1)

    def test_options_outside_their_range_are_refused_by_name(self) -> None:
        good: dict[str, Any] = dict(temperature="1", top_k=0, top_p="1", min_p="0", repeat_penalty="1", repeat_last_n=0, seed=1)
        wrong = [("temperature", "inf"), ("temperature", "nan"), ("top_k", -1), ("top_p", "1.5"), ("top_p", "0"), ("min_p", "-0.1")]
        wrong += [("repeat_penalty", "0"), ("repeat_penalty", "inf"), ("repeat_last_n", -1)]
        for field, value in wrong:
            with self.assertRaises(SeamError, msg=field) as caught:
                sampling_from({**good, field: value})
            self.assertEqual((caught.exception.code, caught.exception.place), ("usage", field))


if __name__ == "__main__":
    unittest.main()
