# SPDX-License-Identifier: MIT
"""The child's side of the worker protocol, version 2 (docs/worker-protocol.md): frames, and the loop that serves an engine.

Two threads, as in src/engines/process/worker.cpp: one reads, and answers the tokenizer's requests at once; the other computes, one request
after another. A job is answered by the step that it ends in. When stdin ends, the process ends, whatever it computes.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import struct
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from .errors import SeamError

VERSION = 2
MAGIC = b"BHWP"
HEADER = struct.Struct("<4sIQ")  # magic, bytes of the JSON, bytes of the tail
MOST_JSON = 1 << 28
MOST_TAIL = min(1 << 38, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))  # more than there is memory for is not begun
MOST_WAITING = 1024  # requests; the other side sends one after another
NOT_THE_PROTOCOL = 6  # exit code

Head = dict[str, Any]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Frame:
    head: Head
    tail: bytes = b""


def path_of(text: str) -> Path:
    """A path as the parent writes it: U+10FF80 to U+10FFFF stand for bytes that are no UTF-8 (escape_bytes() of src/base/utf8.h)."""
    return Path("".join(chr(0xDC00 | ord(one) & 0xFF) if one >= "\U0010ff80" else one for one in text))


def encode(head: Head, tail: bytes = b"") -> bytes:
    text = json.dumps(head, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode()
    return HEADER.pack(MAGIC, len(text), len(tail)) + text + tail


class NotTheProtocolError(Exception):
    """What was read is no frame."""


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


def read_frames(read: Callable[[int], bytes]) -> Iterator[Frame]:
    """Frames until `read` gives nothing. `read(n)` gives at most n bytes, and b"" at the end."""
    buffer = bytearray()
    ended = False

    def fill(size: int) -> bool:
        nonlocal ended
        while len(buffer) < size and not ended:
            piece = read(max(size - len(buffer), 1 << 16))
            ended = not piece
            buffer.extend(piece)
        return len(buffer) >= size

    while fill(1):
        if not MAGIC.startswith(bytes(buffer[: len(MAGIC)])):
            raise NotTheProtocolError(f"it begins with {bytes(buffer[:80])!r}")
        if not fill(HEADER.size):
            return
        magic, json_bytes, tail_bytes = HEADER.unpack_from(buffer)
        if magic != MAGIC or json_bytes > MOST_JSON or tail_bytes > MOST_TAIL:
            raise NotTheProtocolError(f"it begins with {bytes(buffer[:80])!r}")
        whole = HEADER.size + json_bytes + tail_bytes
        if not fill(whole):
            return
        text = bytes(buffer[HEADER.size : HEADER.size + json_bytes])
        tail = bytes(buffer[HEADER.size + json_bytes : whole])
        del buffer[:whole]
        try:
            head = json.loads(text, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise NotTheProtocolError(f"no JSON: {text[:80]!r}") from error
        if not isinstance(head, dict):
            raise NotTheProtocolError(f"no JSON object: {text[:80]!r}")
        yield Frame(head, tail)


@dataclass(frozen=True)
class Call:
    """A request as an engine gets it."""

    head: Head
    tail: bytes
    cancelled: Callable[[], bool]
    on_token: Callable[[int, int], None]  # (token, its index in the generation)
    on_progress: Callable[[int], None]  # (tokens of this request computed so far): a sign of life


@dataclass
class Job:
    """One that an engine has taken in. Engines derive from it."""

    call: Call
    outcome: Head | SeamError | None = field(default=None, init=False)  # set by the engine when it has ended


class Engine(Protocol):
    """What serve() needs of an engine: `answer` and what is about jobs compute, `answer_any_time` may run on another thread meanwhile."""

    def describe(self) -> Head: ...

    def answer(self, what: str, call: Call) -> Frame: ...

    def answer_any_time(self, what: str, frame: Frame) -> Frame: ...

    def take_in(self, call: Call) -> Job: ...

    def step(self, jobs: list[Job]) -> None:
        """One step for each of these jobs, and for no other. What fails is the outcome of its own job."""


ANY_TIME = ("tokenize", "render_chat", "vocabulary", "memory")


def _addressed(head: Head) -> tuple[str, int]:
    """What is asked, and the request's number. Without them there is nobody to answer."""
    what, identifier = head.get("do"), head.get("id")
    if not isinstance(what, str) or not isinstance(identifier, int) or isinstance(identifier, bool) or identifier < 0:
        raise NotTheProtocolError(f"a frame without name and number: {str(head)[:80]}")
    return what, identifier


@dataclass
class _Asked:
    """A request that waits or is computed."""

    cancelled: bool  # set by the thread that reads


class Worker:
    """Serves the engine that `load` makes of the options of a load request."""

    def __init__(self, source: int, sink: int, load: Callable[[Head], Engine]) -> None:
        self._source = source
        self._sink = sink
        self._load = load
        self._engine: Engine | None = None
        self._waiting: queue.SimpleQueue[Frame] = queue.SimpleQueue()
        self._asked: dict[int, _Asked] = {}
        self._lock = threading.Lock()  # of _asked
        self._jobs: dict[int, Job] = {}  # those that run; the computing thread's own
        self._sending = threading.Lock()

    def run(self) -> None:
        threading.Thread(target=self._read_all, daemon=True).start()
        while True:
            self._perform(self._waiting.get())

    def _read_all(self) -> None:
        try:
            for frame in read_frames(lambda size: os.read(self._source, size)):
                self._take(frame)
        except Exception as error:  # nothing that is read ends this thread alone: the other one would wait for ever
            print(f"worker: what it was sent is not the worker protocol: {error}", file=sys.stderr, flush=True)
            os._exit(NOT_THE_PROTOCOL)
        os._exit(0)

    def _take(self, frame: Frame) -> None:
        what, identifier = _addressed(frame.head)
        if what == "cancel":
            with self._lock:
                asked = self._asked.get(identifier)
            if asked is not None:
                asked.cancelled = True
            return
        engine = self._engine
        if what in ANY_TIME and engine is not None:
            made = self._guard(identifier, what, lambda: engine.answer_any_time(what, frame))
            if made is not None:
                self._end(identifier, {"ok": made.head}, made.tail)
            return
        cancelled = frame.head.get("cancelled", False)
        if not isinstance(cancelled, bool):
            raise NotTheProtocolError(f"request {identifier} is cancelled: {str(cancelled)[:80]}")
        with self._lock:
            if identifier in self._asked or len(self._asked) - len(self._jobs) >= MOST_WAITING:
                raise NotTheProtocolError(f"request {identifier}: a second time, or too many wait")
            self._asked[identifier] = _Asked(cancelled)
        self._waiting.put(frame)

    def _perform(self, frame: Frame) -> None:
        what, identifier = _addressed(frame.head)
        if what == "job":
            self._guard(identifier, what, lambda: self._take_in(identifier, frame))
            return
        made = self._guard(identifier, what, lambda: self._compute(what, identifier, frame))
        self._answer_ended_jobs()
        if made is not None:
            self._end(identifier, {"ok": made.head}, made.tail)

    def _call(self, identifier: int, frame: Frame) -> Call:
        with self._lock:
            asked = self._asked[identifier]

        def on_token(token: int, index: int) -> None:
            self._send({"id": identifier, "token": {"token": token, "index": index}})

        def on_progress(tokens: int) -> None:
            self._send({"id": identifier, "progress": {"tokens": tokens}})

        return Call(frame.head, frame.tail, lambda: asked.cancelled, on_token, on_progress)

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise SeamError("usage", "no engine is loaded yet")
        return self._engine

    def _take_in(self, identifier: int, frame: Frame) -> None:
        self._jobs[identifier] = self._loaded().take_in(self._call(identifier, frame))

    def _compute(self, what: str, identifier: int, frame: Frame) -> Frame:
        if what == "hello":
            return Frame({"protocol": VERSION})
        if what == "load":
            if self._engine is not None:
                raise SeamError("usage", "an engine is loaded already")
            self._engine = self._load(dict(frame.head["options"]))
            return Frame(self._engine.describe())
        engine = self._loaded()
        if what == "step":
            engine.step([self._jobs[int(job)] for job in frame.head["jobs"] if job in self._jobs])
            return Frame({})
        return engine.answer(what, self._call(identifier, frame))

    def _answer_ended_jobs(self) -> None:
        for identifier, job in list(self._jobs.items()):
            if job.outcome is None:
                continue
            del self._jobs[identifier]
            self._end(identifier, {"error": job.outcome.to_json()} if isinstance(job.outcome, SeamError) else {"ok": job.outcome})

    def _end(self, identifier: int, answer: Head, tail: bytes = b"") -> None:
        self._send({"id": identifier, **answer}, tail)
        with self._lock:
            self._asked.pop(identifier, None)  # what is answered at any time is not in there

    def _guard(self, identifier: int, what: str, compute: Callable[[], Made]) -> Made | None:
        """What `compute` gives; nothing where it failed, and then that has been answered."""
        try:
            return compute()
        except SeamError as error:
            failure = error
        except (KeyError, TypeError, ValueError) as error:
            traceback.print_exc()
            failure = SeamError("bad_input", f'a request "{what}" of another form: {type(error).__name__}: {error}')
        except MemoryError:
            failure = SeamError("internal", "out of memory")
        except Exception as error:  # the worker must go on: other sequences are well
            traceback.print_exc()
            failure = SeamError("internal", f"{type(error).__name__}: {error}")
        self._end(identifier, {"error": failure.to_json()})
        return None

    def _send(self, head: Head, tail: bytes = b"") -> None:
        data = memoryview(encode(head, tail))
        try:
            with self._sending:
                while data:
                    data = data[os.write(self._sink, data) :]
        except OSError:
            os._exit(NOT_THE_PROTOCOL)  # nobody is there to hear more


def serve(load: Callable[[Head], Engine]) -> None:
    """Serves on stdin and stdout until stdin ends. Whatever libraries print goes to stderr: stdout speaks the protocol only."""
    sink = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(KeyboardInterrupt):  # the parent decides when we end
        Worker(0, sink, load).run()
