# SPDX-License-Identifier: MIT
"""Frames and the loop that serves an engine, over real pipes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from bulkhead_workers.protocol import Frame, Head, NotTheProtocolError, encode, read_frames

ROOT = Path(__file__).resolve().parents[1]
# An engine of few words: it echoes, fails on demand, and its jobs draw the token 7 once in a step, after one step for each of their tokens.
SERVER = """
from bulkhead_workers.errors import SeamError
from bulkhead_workers.protocol import Frame, Job, serve
class Echo:
    def describe(self):
        return {"facts": {}, "capabilities": []}
    def answer(self, what, call):
        print("a library that prints")
        if what == "fail":
            raise SeamError("resource", "too much", "here", "less")
        if what == "crash":
            raise RuntimeError("a bug")
        if what == "end":
            self.taken[call.head["which"]].outcome = {"ended": "from outside"}
            return Frame({})
        if what == "score":
            for done in (64, 128):
                call.on_progress(done)
            return Frame({"scores": 128})
        if what == "slow":
            import time
            time.sleep(0.5)
            return Frame({})
        return Frame({"what": what, "missing": call.head["sequence"]}, call.tail[::-1])
    def answer_any_time(self, what, frame):
        return Frame({"what": what})
    taken = []
    def take_in(self, call):
        if call.head["sequence"] == 99:
            raise SeamError("closed", "not open")
        job = Job(call)
        job.prefilled = job.drawn = 0
        self.taken.append(job)
        return job
    def step(self, jobs):
        for job in jobs:
            head, call = job.call.head, job.call
            if call.cancelled():
                job.outcome = {"prefilled": job.prefilled, "drawn": job.drawn}
            elif head.get("fails"):
                job.outcome = SeamError("internal", "a job of its own")
            elif job.prefilled < len(head["tokens"]):
                job.prefilled += 1
                call.on_progress(job.prefilled)
            else:
                call.on_token(7, job.drawn)
                job.drawn += 1
            if job.drawn == head.get("count"):
                job.outcome = {"drawn": job.drawn}
serve(lambda options: Echo())
"""


class Frames(unittest.TestCase):
    def test_are_put_together_byte_by_byte(self) -> None:
        stream = encode({"id": 1}, b"tail") + encode({"id": 2, "text": "\u00fc"})
        pieces = iter([bytes([byte]) for byte in stream] + [b""])
        found = list(read_frames(lambda size: next(pieces)))
        self.assertEqual(found, [Frame({"id": 1}, b"tail"), Frame({"id": 2, "text": "\u00fc"}, b"")])

    def test_rubbish_is_seen_at_its_first_byte(self) -> None:
        for stream in (b"Hel", struct.pack("<4sIQ", b"BHWP", 1 << 29, 0), struct.pack("<4sIQ", b"BHWP", 2, 0) + b"[]"):
            pieces = iter([stream])
            with self.assertRaises(NotTheProtocolError):
                list(read_frames(lambda size, pieces=pieces: next(pieces)))  # type: ignore[misc]


class Server:
    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        assert self.process.stdout is not None
        descriptor = self.process.stdout.fileno()
        self.frames = read_frames(lambda size: os.read(descriptor, size))

    def send(self, head: Head, tail: bytes = b"") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(encode(head, tail))
        self.process.stdin.flush()

    def ask(self, head: Head, tail: bytes = b"") -> Frame:
        self.send(head, tail)
        return next(self.frames)

    def end(self) -> tuple[int, bytes]:
        _, errors = self.process.communicate()
        return self.process.returncode, errors


class Serving(unittest.TestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.addCleanup(self.server.process.communicate)  # cleanups run backwards
        self.addCleanup(self.server.process.kill)

    def test_shakes_hands_before_it_loads_and_goes_on_after_errors(self) -> None:
        ask = self.server.ask
        self.assertEqual(ask({"id": 1, "do": "hello", "protocol": 2}).head["ok"], {"protocol": 2})
        self.assertEqual(ask({"id": 2, "do": "open"}).head["error"]["code"], "usage")
        self.assertEqual(ask({"id": 3, "do": "load"}).head["error"]["code"], "bad_input")
        self.assertIn("ok", ask({"id": 4, "do": "load", "options": {}}).head)
        self.assertEqual(ask({"id": 5, "do": "load", "options": {}}).head["error"]["code"], "usage")
        refused = {"code": "resource", "message": "too much", "place": "here", "advice": "less"}
        self.assertEqual(ask({"id": 6, "do": "fail"}).head["error"], refused)
        self.assertEqual(ask({"id": 7, "do": "crash"}).head["error"]["code"], "internal")
        self.assertEqual(ask({"id": 8, "do": "echo"}).head["error"]["code"], "bad_input")
        answer = ask({"id": 9, "do": "echo", "sequence": 3}, b"abc")
        self.assertEqual((answer.head, answer.tail), ({"id": 9, "ok": {"what": "echo", "missing": 3}}, b"cba"))
        code, errors = self.server.end()
        self.assertEqual(code, 0)
        self.assertIn(b"a library that prints", errors)

    def load(self) -> None:
        self.server.ask({"id": 1, "do": "load", "options": {}})

    def job(self, identifier: int, **fields: Any) -> None:
        self.server.send({"id": identifier, "do": "job", "sequence": 1, "tokens": [], "options": {}, **fields})

    def step(self, identifier: int, jobs: list[int]) -> list[Head]:
        """What is told until the step is answered."""
        self.server.send({"id": identifier, "do": "step", "jobs": jobs, "prefill_tokens": 256, "prefill_tokens_beside": 32})
        told: list[Head] = []
        for frame in self.server.frames:
            if frame.head["id"] == identifier:
                self.assertEqual(frame.head, {"id": identifier, "ok": {}})
                return told
            told.append(frame.head)
        self.fail("it ended")

    def test_jobs_are_computed_side_by_side_in_the_steps_that_name_them(self) -> None:
        self.load()
        self.job(2, tokens=[1, 2], count=3)
        self.assertEqual(self.step(3, [2]), [{"id": 2, "progress": {"tokens": 1}}])
        self.job(4, count=2)
        self.assertEqual(self.step(5, [2, 4]), [{"id": 2, "progress": {"tokens": 2}}, {"id": 4, "token": {"token": 7, "index": 0}}])
        self.assertEqual(self.server.ask({"id": 6, "do": "tokenize"}).head, {"id": 6, "ok": {"what": "tokenize"}})
        self.assertEqual(self.server.ask({"id": 7, "do": "echo", "sequence": 5}).head["ok"]["missing"], 5)
        self.assertEqual(self.step(8, [2]), [{"id": 2, "token": {"token": 7, "index": 0}}])
        ended = [{"id": 4, "token": {"token": 7, "index": 1}}, {"id": 4, "ok": {"drawn": 2}}]
        self.assertEqual(self.step(9, [2, 4]), [{"id": 2, "token": {"token": 7, "index": 1}}, *ended])
        self.assertEqual(self.step(10, [2, 4, 77]), [{"id": 2, "token": {"token": 7, "index": 2}}, {"id": 2, "ok": {"drawn": 3}}])
        self.assertEqual(self.step(11, [2, 4]), [])

    def test_a_cancel_ends_the_job_that_it_names(self) -> None:
        self.load()
        for identifier in (2, 3):
            self.job(identifier)
        self.job(4, cancelled=True)
        self.assertEqual(len(self.step(5, [2, 3, 4])), 3)
        self.server.send({"id": 3, "do": "cancel"})
        self.server.send({"id": 77, "do": "cancel"})
        self.assertEqual(self.step(6, [2, 3]), [{"id": 2, "token": {"token": 7, "index": 1}}, {"id": 3, "ok": {"prefilled": 0, "drawn": 1}}])
        self.assertEqual(self.step(7, [2]), [{"id": 2, "token": {"token": 7, "index": 2}}])

    def test_jobs_fail_one_by_one(self) -> None:
        self.load()
        self.job(2)
        self.job(3, sequence=99)
        self.assertEqual(next(self.server.frames).head["error"]["code"], "closed")
        self.server.send({"id": 4, "do": "job"})
        self.assertEqual(next(self.server.frames).head["error"]["code"], "bad_input")
        self.job(5, fails=True)
        told = self.step(6, [2, 3, 4, 5])
        self.assertEqual(told[0], {"id": 2, "token": {"token": 7, "index": 0}})
        self.assertEqual((told[1]["id"], told[1]["error"]["code"]), (5, "internal"))
        self.assertEqual(self.server.ask({"id": 7, "do": "step", "jobs": 5}).head["error"]["code"], "bad_input")

    def test_what_ends_a_job_outside_a_step_answers_it_first(self) -> None:
        self.load()
        self.job(2)
        self.assertEqual(self.server.ask({"id": 3, "do": "end", "which": 0}).head, {"id": 2, "ok": {"ended": "from outside"}})
        self.assertEqual(next(self.server.frames).head, {"id": 3, "ok": {}})

    def test_chunks_are_told_of_before_the_answer(self) -> None:
        server = self.server
        self.load()
        self.assertEqual(server.ask({"id": 2, "do": "score"}).head, {"id": 2, "progress": {"tokens": 64}})
        self.assertEqual(next(server.frames).head, {"id": 2, "progress": {"tokens": 128}})
        self.assertEqual(next(server.frames).head, {"id": 2, "ok": {"scores": 128}})

    def test_ends_with_its_own_code_for_a_head_that_cannot_be_answered(self) -> None:
        deep = b"[" * 200_000 + b"]" * 200_000
        heads = {
            "deep": b'{"id":1,"do":"hello","x":' + deep + b"}",
            "nan": b'{"id":1,"do":"hello","x":NaN}',
            "no id": b'{"do":"hello"}',
            "text": b'{"id":"1","do":"hello"}',
            "infinite": b'{"id":1e400,"do":"hello"}',
            "truth": b'{"id":true,"do":"hello"}',
            "number": b'{"id":1,"do":5}',
            "cancelled": b'{"id":1,"do":"job","cancelled":5}',
            "cancel": b'{"id":"x","do":"cancel"}',
        }
        for name, head in heads.items():
            with self.subTest(name):
                server = Server()
                assert server.process.stdin is not None
                server.process.stdin.write(struct.pack("<4sIQ", b"BHWP", len(head), 0) + head)
                code, errors = server.end()
                self.assertEqual(code, 6)
                self.assertIn(b"not the worker protocol", errors)

    def test_an_id_is_not_used_twice_at_a_time(self) -> None:
        server = self.server
        self.load()
        self.job(2)
        server.send({"id": 2, "do": "echo"})
        code, errors = server.end()
        self.assertEqual(code, 6)
        self.assertIn(b"a second time", errors)

    def test_ends_with_its_own_code_when_it_is_sent_rubbish(self) -> None:
        assert self.server.process.stdin is not None
        self.server.process.stdin.write(b"GET / HTTP/1.1\r\n")
        self.server.process.stdin.flush()
        code, errors = self.server.end()
        self.assertEqual(code, 6)
        self.assertIn(b"not the worker protocol", errors)

    def test_ends_when_its_parent_is_gone_whatever_it_computes(self) -> None:
        self.server.ask({"id": 1, "do": "load", "options": {}})
        self.server.send({"id": 2, "do": "slow"})
        self.job(3)
        code, _ = self.server.end()
        self.assertEqual(code, 0)


if __name__ == "__main__":
    unittest.main()
