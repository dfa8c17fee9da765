# SPDX-License-Identifier: MIT
"""Frames and the loop that serves an engine, over real pipes."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import unittest
from pathlib import Path

from bulkhead_workers.protocol import Frame, Head, NotTheProtocolError, encode, read_frames

ROOT = Path(__file__).resolve().parents[1]
# An engine of few words: it echoes, fails on demand, and draws tokens until it is told to stop.
SERVER = """
from bulkhead_workers.errors import SeamError
from bulkhead_workers.protocol import Frame, serve
class Echo:
    def describe(self):
        return {"facts": {}, "capabilities": []}
    def answer(self, what, call):
        print("a library that prints")
        if what == "fail":
            raise SeamError("resource", "too much", "here", "less")
        if what == "crash":
            raise RuntimeError("a bug")
        if what == "draw":
            index = 0
            while not call.cancelled(0) and call.on_token(0, 7, index):
                index += 1
            return Frame({"drawn": index, "cancelled": call.cancelled(0)})
        if what == "batch":
            places = range(len(call.head["requests"]))
            before = [call.cancelled(place) for place in places]
            while not call.cancelled(2):
                call.on_token(0, 7, 0)
            return Frame({"before": before, "after": [call.cancelled(place) for place in places]})
        if what == "prefill":
            for done in (64, 128):
                call.on_progress(done)
            return Frame({"tokens": 128})
        return Frame({"what": what, "missing": call.head["sequence"]}, call.tail[::-1])
    def answer_any_time(self, what, frame):
        return Frame({"what": what})
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
        self.assertEqual(ask({"id": 1, "do": "hello", "protocol": 1}).head["ok"], {"protocol": 1})
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

    def test_tokens_are_told_of_and_paced_and_the_tokenizer_answers_meanwhile(self) -> None:
        server = self.server
        server.ask({"id": 1, "do": "load", "options": {}})
        self.assertEqual(server.ask({"id": 2, "do": "draw", "paced": True}).head["token"], {"request": 0, "token": 7, "index": 0})
        self.assertEqual(server.ask({"id": 3, "do": "tokenize"}).head, {"id": 3, "ok": {"what": "tokenize"}})
        self.assertEqual(server.ask({"id": 2, "do": "go"}).head["token"]["index"], 1)
        self.assertEqual(server.ask({"id": 2, "do": "stop"}).head["ok"], {"drawn": 1, "cancelled": False})
        server.send({"id": 4, "do": "draw"})
        self.assertIn("token", next(server.frames).head)
        server.send({"id": 4, "do": "cancel"})
        last = next(frame.head for frame in server.frames if "ok" in frame.head)
        self.assertTrue(last["ok"]["cancelled"])

    def test_a_cancel_reaches_the_generation_that_it_names(self) -> None:
        server = self.server
        server.ask({"id": 1, "do": "load", "options": {}})
        server.send({"id": 2, "do": "batch", "requests": [{}, {"cancelled": True}, {}]})
        self.assertIn("token", next(server.frames).head)
        server.send({"id": 2, "do": "cancel", "request": 2})
        last = next(frame.head for frame in server.frames if "ok" in frame.head)
        self.assertEqual(last["ok"], {"before": [False, True, False], "after": [False, True, True]})

    def test_chunks_are_told_of_before_the_answer(self) -> None:
        server = self.server
        server.ask({"id": 1, "do": "load", "options": {}})
        self.assertEqual(server.ask({"id": 2, "do": "prefill"}).head, {"id": 2, "progress": {"tokens": 64}})
        self.assertEqual(next(server.frames).head, {"id": 2, "progress": {"tokens": 128}})
        self.assertEqual(next(server.frames).head, {"id": 2, "ok": {"tokens": 128}})

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
            "requests": b'{"id":1,"do":"generate","requests":5}',
            "cancel": b'{"id":1,"do":"hello"}{"id":1,"do":"cancel","request":"x"}',
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
        server.ask({"id": 1, "do": "load", "options": {}})
        server.ask({"id": 2, "do": "draw", "paced": True})
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
        self.server.ask({"id": 2, "do": "draw", "paced": True})
        code, _ = self.server.end()
        self.assertEqual(code, 0)


if __name__ == "__main__":
    unittest.main()
