# SPDX-License-Identifier: MIT
"""Jobs of the engine in this package: they join, leave and fail one by one, and each computes what it computes alone."""

from __future__ import annotations

import dataclasses
import unittest
from typing import Any

from bulkhead_workers.engine import Running, SequenceEngine
from bulkhead_workers.errors import SeamError
from bulkhead_workers.protocol import Call, Head

from .test_networks import OPTIONS, network, tokens

GREEDY = {"temperature": "0", "top_k": 0, "top_p": "1", "min_p": "0", "repeat_penalty": "1", "repeat_last_n": 0, "seed": 1}
SETTINGS = {"ignore_end": True, "stop_bytes": [], "hash_logits": True, "speculate": False}


@dataclasses.dataclass
class Watched:
    """A job, and all that it told of."""

    job: Running
    told: list[tuple[str, int]]
    stop: list[bool]

    @property
    def result(self) -> Head:
        assert isinstance(self.job.outcome, dict), self.job.outcome
        return self.job.outcome


class Jobs(unittest.TestCase):
    engine: SequenceEngine

    @classmethod
    def setUpClass(cls) -> None:
        cls.engine = SequenceEngine(network("transformers", "llama"), {**OPTIONS, "context_tokens": 0, "isolation": "auto"})

    def call(self, **head: Any) -> Call:
        return Call(head, b"", lambda: False, lambda *_: None, lambda _: None)

    def open(self, capacity: int = 1000) -> int:
        return int(self.engine.answer("open", self.call(capacity_tokens=capacity)).head["sequence"])

    def submit(self, sequence: int, prefill: list[int], count: int | None, cancelled: bool = False) -> Watched:
        told: list[tuple[str, int]] = []
        stop = [cancelled]
        options = None if count is None else {**GREEDY, **SETTINGS, "max_tokens": count}
        call = Call(
            {"sequence": sequence, "tokens": prefill, "options": options},
            b"",
            lambda: stop[0],
            lambda token, index: told.append(("token", index)),
            lambda done: told.append(("progress", done)),
        )
        return Watched(self.engine.take_in(call), told, stop)

    def finish(self, sequence: int, prefill: list[int], count: int) -> Head:
        one = self.submit(sequence, prefill, count)
        while one.job.runs:
            self.engine.step([one.job])
        return one.result

    def run_alone(self, prefill: list[int], count: int) -> Head:
        return self.finish(self.open(), prefill, count)

    def held(self, sequence: int) -> int:
        return int(self.engine.answer("inspect", self.call(sequence=sequence)).head["tokens"])

    def code(self, what: str, **head: Any) -> str:
        with self.assertRaises(SeamError) as failure:
            self.engine.answer(what, self.call(**head))
        return failure.exception.code

    def test_a_step_draws_for_all_and_prefills_for_one_in_turn(self) -> None:
        chunk = 256
        expected = self.run_alone(tokens(20), 12)
        one = self.submit(self.open(), tokens(20), 12)
        self.engine.step([one.job])
        prompts = [self.submit(self.open(), tokens(chunk + 10), None) for _ in range(2)]
        jobs = [each.job for each in (one, *prompts)]
        for _ in range(4):
            self.engine.step(list(jobs))
        self.assertEqual(one.told, [("progress", 20), *(("token", index) for index in range(4))])
        for prompt in prompts:
            self.assertEqual(prompt.told, [("progress", chunk), ("progress", chunk + 10)])
            self.assertEqual(prompt.result, {"prefilled": chunk + 10})
        while one.job.runs:
            self.engine.step(list(jobs))
        self.assertEqual(one.result["generated"]["tokens"], expected["generated"]["tokens"])
        self.assertEqual(one.result["generated"]["logit_hashes"], expected["generated"]["logit_hashes"])

    def test_those_that_are_not_named_stand_still(self) -> None:
        one, other = (self.submit(self.open(), tokens(5), 9) for _ in range(2))
        self.engine.step([one.job, other.job])
        for _ in range(5):
            self.engine.step([other.job])
        self.assertEqual(one.told, [("progress", 5)])
        self.assertEqual(len(other.told), 5)

    def test_a_cancel_keeps_what_there_is_and_truncate_takes_it_out(self) -> None:
        sequence = self.open()
        given = tokens(30)
        first = self.submit(sequence, given, None)
        self.engine.step([first.job])
        long = self.submit(sequence, tokens(600), 5)
        self.engine.step([long.job])
        long.stop[0] = True
        self.engine.step([long.job])
        self.assertEqual(long.result["prefilled"], 256)
        self.assertEqual((long.result["generated"]["finish"], long.result["generated"]["tokens"]), ("cancelled", []))
        self.assertEqual(self.held(sequence), 286)
        cut = self.engine.answer("truncate", self.call(sequence=sequence, tokens=30)).head
        self.assertEqual((cut["tokens"], self.held(sequence)), (0, 30))
        again, expected = self.finish(sequence, [], 6)["generated"], self.run_alone(given, 6)["generated"]
        self.assertEqual(again["tokens"], expected["tokens"])
        self.assertEqual(again["logit_hashes"], expected["logit_hashes"], "as if the prefill had never begun")
        never = self.submit(self.open(), given, 5, cancelled=True)
        self.engine.step([never.job])
        self.assertEqual((never.told, never.result["prefilled"]), ([], 0))

    def test_a_text_that_is_cut_back_goes_on_as_one_that_was_stopped_there(self) -> None:
        stopped, cut = self.open(), self.open()
        self.finish(stopped, tokens(20), 3)
        self.finish(cut, tokens(20), 9)
        self.engine.answer("truncate", self.call(sequence=cut, tokens=23))
        for prefill in ([], tokens(7)):
            one, other = (self.finish(sequence, prefill, 4)["generated"] for sequence in (stopped, cut))
            self.assertEqual(one["tokens"], other["tokens"])
            self.assertEqual(one["logit_hashes"], other["logit_hashes"])
        self.engine.answer("truncate", self.call(sequence=cut, tokens=0))
        self.assertEqual(self.finish(cut, tokens(20), 3)["generated"]["logit_hashes"], self.run_alone(tokens(20), 3)["generated"]["logit_hashes"])

    def test_a_busy_sequence_refuses_all_else_and_close_ends_its_job(self) -> None:
        sequence = self.open()
        one = self.submit(sequence, tokens(5), 9)
        self.engine.step([one.job])
        for what in ("fork", "score", "snapshot", "truncate"):
            self.assertEqual(self.code(what, sequence=sequence, tokens=[1], capacity_tokens=10), "bad_input", what)
        with self.assertRaises(SeamError):
            self.submit(sequence, tokens(5), None)
        self.assertEqual(self.held(sequence), 5)
        self.engine.answer("close", self.call(sequence=sequence))
        self.assertEqual((one.result["prefilled"], one.result["generated"]["finish"]), (5, "cancelled"))
        self.engine.step([one.job])
        self.assertEqual(one.told, [("progress", 5)])

    def test_what_cannot_be_taken_in_is_refused(self) -> None:
        sequence = self.open(10)

        def code(prefill: list[int], count: int | None, at: int = sequence) -> str:
            with self.assertRaises(SeamError) as failure:
                self.submit(at, prefill, count)
            return failure.exception.code

        self.assertEqual(code([], None), "bad_input")
        self.assertEqual(code([], 3), "bad_input")
        self.assertEqual(code([-1], None), "bad_input")
        self.assertEqual(code(tokens(11), None), "resource")
        self.assertEqual(code(tokens(3), None, 4711), "closed")
        self.assertEqual(self.held(sequence), 0)
        self.assertEqual(self.code("truncate", sequence=sequence, tokens=1), "bad_input")

    def test_a_job_that_fails_poisons_its_own_sequence(self) -> None:
        good, bad = (self.submit(self.open(), tokens(5), 3) for _ in range(2))

        def explode(*_: Any) -> None:
            raise RuntimeError("no logits today")

        self.engine.step([good.job, bad.job])
        self.engine.step([good.job, bad.job])
        bad.job.generation.sampler.draw = explode  # type: ignore[union-attr,method-assign]
        while good.job.runs:
            self.engine.step([good.job, bad.job])
        assert isinstance(bad.job.outcome, SeamError)
        self.assertIn("no logits today", bad.job.outcome.message)
        self.assertTrue(bad.job.sequence.poisoned)
        self.assertFalse(good.job.sequence.poisoned)
        self.assertEqual(len(good.result["generated"]["tokens"]), 3)


if __name__ == "__main__":
    unittest.main()
