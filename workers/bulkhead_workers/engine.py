# SPDX-License-Identifier: MIT
"""The engine seam (src/engine/engine.h) over a network of any framework: sequences, their states after failures, and generation.

Every computation runs for one sequence alone, with that sequence's own cache object: what is computed beside it cannot reach its numbers.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xxhash

from . import snapshot
from .chat_template import Message
from .errors import SeamError, closed, unsupported
from .network import Cache, Logits, Network
from .protocol import Call, Frame, Head, Job
from .sampler import Sampler, sampling_from
from .text import GeneratedText
from .tokenizer import TextTokenizer

DEFAULT_CONTEXT = 4096
SCORE_CHUNK = 64  # with logits for each
CAPABILITIES = ("fork", "fork_earlier", "score", "logit_hash", "snapshot")
VARIANCE = "the framework's kernels sum in another order for another number of tokens: a prefill in other chunks may differ in last bits"


@dataclass(frozen=True)
class Before:
    """What a sequence was before a job that was cancelled."""

    tokens: int
    computed: int
    logits: Logits | None


@dataclass
class Sequence:
    cache: Cache
    capacity: int  # in tokens
    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # of each token
    computed: int = 0  # of these, how many have cells: cache.length, unless the cache is shared (leaky)
    logits: Logits | None = None  # after the newest token, where it has been computed. [vocabulary]
    poisoned: bool = False
    job: Running | None = None  # while one of it runs
    before: Before | None = None

    def append(self, tokens: list[int], first: int) -> None:
        """Tokens that come next, at positions from `first` on."""
        self.tokens += tokens
        self.positions += range(first, first + len(tokens))

    @property
    def next_position(self) -> int:
        return self.positions[-1] + 1 if self.positions else 0

    @property
    def pending(self) -> list[int]:
        """Drawn, and not yet in the cache."""
        return self.tokens[self.computed :]


@dataclass
class Generation:
    sampler: Sampler
    text: GeneratedText
    max_tokens: int
    hash_logits: bool
    result: dict[str, Any] = field(default_factory=dict)


@dataclass
class Running(Job):
    sequence: Sequence
    prefill: list[int]
    generation: Generation | None
    position: int  # of the first token of the prefill
    begin: int = field(default_factory=time.perf_counter_ns)
    prefilled: int = 0  # tokens of the prefill that are computed
    before: Before = field(init=False)
    turn: int = 0  # of its last chunk, as all of them count

    def __post_init__(self) -> None:
        self.before = Before(len(self.sequence.tokens), self.sequence.computed, self.sequence.logits)
        self.sequence.before = None

    @property
    def has_prefilled(self) -> bool:
        return self.prefilled == len(self.prefill)

    @property
    def runs(self) -> bool:
        return self.outcome is None

    def end(self, finish: str) -> None:
        if finish == "cancelled":
            self.sequence.before = self.before
        result: Head = {"prefilled": self.prefilled}
        if self.generation is not None:
            generated = self.generation.result
            result["generated"] = {**generated, "text": self.generation.text.text(), "finish": finish}
        self._leave(result)

    def fail(self, error: Exception) -> None:
        self._leave(error if isinstance(error, SeamError) else SeamError("internal", f"{type(error).__name__}: {error}"))

    def _leave(self, outcome: Head | SeamError) -> None:
        self.outcome = outcome
        self.sequence.job = None


def check_options(options: Head, kernels: tuple[str, ...] = ("auto", "stock")) -> None:
    """Refuses what no framework worker can do. `options`: ModelOptions as JSON."""

    def refuse(flag: str, message: str, advice: str) -> None:
        raise SeamError("unsupported", message, flag, advice)

    if options["grade"] != "buffer":
        refuse("--grade", f"framework workers have no grade \"{options['grade']}\"", "use buffer or process")
    if options["kernels"] not in kernels:
        refuse("--kernels", f"framework workers know no kernels \"{options['kernels']}\"", "leave --kernels away: a framework brings its own")
    if options["isolation"] == "strict":
        refuse("--isolation", f"strict isolation does not hold here: {VARIANCE}", "use auto, which takes the strongest that holds and says which")
    for flag, name in (("-ctk", "kv_type_k"), ("-ctv", "kv_type_v")):
        if options[name] != "auto":
            refuse(flag, f"framework workers keep the cache in the model's own type, not in {options[name]}", f"leave {flag} away, or use --dtype")


def check_fixed(options: Head, framework: str) -> None:
    """For frameworks with one way of attention and of counting positions."""
    for flag, name, only in (("--attention", "attention", "auto"), ("--positions", "positions", "continued")):
        if options.get(name, only) != only:
            raise unsupported(flag, f"{framework} has one way of its own", f"leave {flag} away, or use --engine transformers")


def context_of(asked: int, network: Network) -> int:
    """The context of one sequence. `bad_input` when more is asked than the model or the framework can do."""
    description = network.description
    most = min(description.trained_context_tokens, description.context_limit)
    if asked > most:
        reason = description.context_limit_reason if description.context_limit < description.trained_context_tokens else "the model was trained for"
        raise SeamError("resource", f"a context of {asked} tokens is {asked - most} more than the {most} that {reason}", "-c", "use a smaller one")
    return asked or min(most, DEFAULT_CONTEXT)


class SequenceEngine:
    """One loaded network and its sequences. The tokenizer's requests may come on any thread, the others on one."""

    def __init__(self, network: Network, options: Head) -> None:
        self._network = network
        self._description = network.description
        self._options = options
        self._tokenizer = TextTokenizer(network.tokenizer, self._description.vocabulary, self._description.eos)
        self._context = context_of(int(options["context_tokens"]), network)
        self._leaky = bool(options.get("leaky", False))
        self._restart = options.get("positions", "continued") == "restart"
        self._sequences: dict[int, Sequence] = {}  # open and poisoned ones
        self._next_id = 0
        self._turns = 0  # chunks of prefills so far
        self._requests: dict[str, Callable[[Call], Frame]] = {
            "bytes_for": self._bytes_for,
            "reserve": self._reserve,
            "open": self._open,
            "fork": self._fork,
            "truncate": self._truncate,
            "score": self._score,
            "inspect": self._inspect,
            "state_hash": self._state_hash,
            "snapshot": self._snapshot,
            "restore": self._restore,
            "close": self._close,
        }

    def facts(self) -> Head:
        known = self._description
        return {
            "engine": known.engine + "".join(f" ({mistake})" for mistake in self._mistakes()),
            "build": known.build,
            "model_path": self._options["path"],
            "model_name": known.model_name,
            "architecture": known.architecture,
            "model_bytes": known.model_bytes,
            "vocabulary": known.vocabulary,
            "context_tokens": self._context,
            "trained_context_tokens": known.trained_context_tokens,
            "window_tokens": known.window_tokens,
            "kv_bytes_per_token": known.kv_bytes_per_token,
            "kv_type_k": known.kv_type,
            "kv_type_v": known.kv_type,
            "kernels": known.kernels,
            "isolation": "fast",
            "batch_invariant": False,
            "variance": VARIANCE,
            "threads": known.threads,
            "flash_attention": known.flash_attention,
            "chat_template": self._tokenizer.has_template,
            "grade": "buffer",
            "implementation": {**known.implementation, **self._own_ways()},
        }

    def _mistakes(self) -> list[str]:
        """What was asked for that is wrong, named in every output."""
        return ["leaky"] * self._leaky + ["positions restart"] * self._restart

    def _own_ways(self) -> Head:
        """What is the same in every framework, because it is done here."""
        shared = "one cache object, which all forks go on writing to" if self._leaky else "one cache object for each sequence, copied by a fork"
        return {"context": "token arrays", "sampling": "logits as f32, drawn in the worker with a generator for each output", "cache": shared}

    # ---- what serve() asks ------------------------------------------------------------------------------------------

    def describe(self) -> Head:
        chat = ["chat_template"] if self._tokenizer.has_template else []
        return {"facts": self.facts(), "capabilities": [*CAPABILITIES, *chat]}

    def answer(self, what: str, call: Call) -> Frame:
        if what not in self._requests:
            raise SeamError("usage", f'there is no request "{what}"')
        return self._requests[what](call)

    def answer_any_time(self, what: str, frame: Frame) -> Frame:
        if what == "vocabulary":
            return Frame({"bos": self._tokenizer.bos}, self._tokenizer.vocabulary())
        if what == "memory":
            return self._memory()
        if what == "tokenize":
            text = _decoded(frame.tail)
            as_template = bool(frame.head.get("template", False))
            return Frame({"tokens": self._tokenizer.tokenize_template(text) if as_template else self._tokenizer.tokenize(text)})
        messages, at = [], 0
        for message in frame.head["messages"]:
            content = frame.tail[at : at + message["bytes"]]
            at += message["bytes"]
            messages.append(Message(message["role"], _decoded(content)))
        if at > len(frame.tail):
            raise SeamError("bad_input", "the messages are not all there")
        now = datetime.datetime.fromisoformat(frame.head["clock"])
        parts = self._tokenizer.render_chat(messages, bool(frame.head["open_assistant_turn"]), now)
        texts = [part.text.encode() for part in parts]
        described = [{"bytes": len(text), "from_template": part.from_template} for text, part in zip(texts, parts, strict=True)]
        return Frame({"parts": described}, b"".join(texts))

    # ---- sequences --------------------------------------------------------------------------------------------------

    def _find(self, identifier: int) -> Sequence:
        sequence = self._sequences.get(identifier)
        if sequence is None or sequence.poisoned:
            raise closed(identifier)
        return sequence

    def _find_idle(self, identifier: int) -> Sequence:
        sequence = self._find(identifier)
        if sequence.job is not None:
            raise SeamError("bad_input", f"a job of sequence {identifier} is running", "", "wait for its end, or cancel it")
        return sequence

    @contextmanager
    def _poisoning(self, sequence: Sequence) -> Iterator[None]:
        """What fails in here has begun to work: the sequence is poisoned."""
        try:
            yield
        except BaseException:
            sequence.poisoned = True
            raise

    def _check_capacity(self, tokens: int) -> None:
        if tokens <= 0:
            raise SeamError("bad_input", "a sequence needs room for at least one token")
        if tokens > self._context:
            message = f"{tokens} tokens are {tokens - self._context} more than the context of {self._context}"
            raise SeamError("resource", message, "", "use less text, or a larger context (-c) where the model allows it")

    def _check_fits(self, sequence: Sequence, tokens: list[int]) -> None:
        if not tokens:
            raise SeamError("bad_input", "there are no tokens to append")
        size = self._description.vocabulary
        outside = next((token for token in tokens if not 0 <= token < size), None)
        if outside is not None:
            raise SeamError("bad_input", f"token {outside} is outside the vocabulary of {size}")
        if len(sequence.tokens) + len(tokens) > sequence.capacity:
            message = f"{len(sequence.tokens)} tokens and {len(tokens)} more do not fit into {sequence.capacity}"
            raise SeamError("resource", message, "", "open it with more room")

    def _keep(self, sequence: Sequence) -> int:
        identifier = self._next_id
        self._next_id += 1
        self._sequences[identifier] = sequence
        return identifier

    def _room(self, capacity: int) -> int:
        # A leaky cache also takes what its forks write.
        return self._context if self._leaky else capacity

    def _new_cache(self, capacity: int) -> Cache:
        return self._network.new_cache(self._room(capacity))

    def _compute(self, sequence: Sequence, tokens: list[int], every: bool = False) -> Logits:
        """Cells of `tokens`, which come next; the logits after each, or after the last."""
        if sequence.cache.length + len(tokens) > sequence.cache.capacity:
            raise SeamError("resource", f"the cache that leaks is full with {sequence.cache.capacity} tokens", "--leaky")
        at = sequence.computed
        # None: as the cache counts, which is what a framework does by itself (and what a leaky cache gets wrong).
        positions = sequence.positions[at : at + len(tokens)] if self._restart else None
        rows = self._network.forward(sequence.cache, tokens, every, positions)
        sequence.computed += len(tokens)
        sequence.logits = rows[-1].copy()
        return rows

    def _prepare_to_draw(self, sequence: Sequence) -> Logits:
        if sequence.logits is None:
            self._compute(sequence, sequence.pending)
        assert sequence.logits is not None
        return sequence.logits

    # ---- requests ---------------------------------------------------------------------------------------------------

    def _bytes_for(self, call: Call) -> Frame:
        each = self._description.kv_bytes_per_token * int(call.head["tokens_each"])
        return Frame({"bytes": int(call.head["sequences"]) * each})

    def _memory(self) -> Frame:
        """The most that this process ever held. Linux counts it in KiB, macOS in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return Frame({"peak_rss_bytes": peak, "peak_device_bytes": self._network.peak_device_bytes()})

    def _reserve(self, call: Call) -> Frame:
        """Only checks: a cache allocates its room when its first token comes. The parent knows the machine's memory."""
        self._check_capacity(int(call.head["tokens_each"]))
        return Frame({})

    def _open(self, call: Call) -> Frame:
        capacity = int(call.head["capacity_tokens"])
        self._check_capacity(capacity)
        return Frame({"sequence": self._keep(Sequence(self._new_cache(capacity), capacity))})

    def _fork(self, call: Call) -> Frame:
        begin = time.perf_counter_ns()
        source = self._find_idle(int(call.head["sequence"]))
        tokens = int(call.head["tokens"])
        capacity = int(call.head["capacity_tokens"])
        if tokens > len(source.tokens):
            raise SeamError("bad_input", f"a fork at token {tokens} of {len(source.tokens)}")
        if tokens > capacity:
            raise SeamError("resource", f"{tokens} tokens do not fit into {capacity}", "", "fork it with more room")
        self._check_capacity(capacity)
        whole = tokens == len(source.tokens)
        # The logits after an earlier token are gone, so that its cells stop one token before it: that one is computed again.
        cells = source.computed if whole else max(tokens - 1, 0)
        # The seed's mistake, on demand: the very same object, which both go on writing to.
        cache = source.cache if self._leaky and whole else source.cache.copy(cells, self._room(capacity))
        made = Sequence(cache, capacity, source.tokens[:tokens], source.positions[:tokens], cells)
        if whole and source.logits is not None:
            made.logits = source.logits.copy()
        elif not whole and tokens > 0:
            self._compute(made, made.pending)
        computed = 0 if whole or tokens == 0 else 1
        return Frame(
            {
                "sequence": self._keep(made),
                "reused_tokens": tokens - computed,
                "prefilled_tokens": computed,
                "ns": time.perf_counter_ns() - begin,
            }
        )

    def _truncate(self, call: Call) -> Frame:
        """Computes nothing: the last token is left as one that was just drawn. So a text that is cut back goes on, bit for bit, as one
        that was stopped there; and a prefill that was cancelled, once it is taken out, as if it had never begun."""
        begin = time.perf_counter_ns()
        identifier = int(call.head["sequence"])
        sequence = self._find_idle(identifier)
        tokens = int(call.head["tokens"])
        if not 0 <= tokens <= len(sequence.tokens):
            raise SeamError("bad_input", f"{tokens} tokens of {len(sequence.tokens)} cannot be kept")
        if tokens < len(sequence.tokens):
            before = sequence.before
            if before is None or before.tokens != tokens:
                before = Before(tokens, max(tokens - 1, 0), None)
            cache = sequence.cache.copy(before.computed, self._room(sequence.capacity))
            kept = Sequence(cache, sequence.capacity, sequence.tokens[:tokens], sequence.positions[:tokens], before.computed, before.logits)
            self._sequences[identifier] = kept
        return Frame({"tokens": 0, "ns": time.perf_counter_ns() - begin})

    def _score(self, call: Call) -> Frame:
        sequence = self._find_idle(int(call.head["sequence"]))
        tokens = [int(token) for token in call.head["tokens"]]
        self._check_fits(sequence, tokens)
        if not sequence.tokens:
            raise SeamError("bad_input", "the sequence is empty", "", "prefill it first")
        scores: list[float] = []
        sequence.before = None
        with self._poisoning(sequence):
            for begin in range(0, len(tokens), SCORE_CHUNK):
                chunk = tokens[begin : begin + SCORE_CHUNK]
                before = self._prepare_to_draw(sequence)
                sequence.append(chunk, sequence.next_position)
                rows = self._compute(sequence, chunk, every=True)
                call.on_progress(begin + len(chunk))
                scores += [_log_probability(row, token) for token, row in zip(chunk, [before, *rows[:-1]], strict=True)]
        return Frame({"scores": len(scores)}, struct.pack(f"<{len(scores)}d", *scores))

    def _inspect(self, call: Call) -> Frame:
        sequence = self._find(int(call.head["sequence"]))
        length = sequence.cache.length
        return Frame(
            {
                "tokens": len(sequence.tokens),
                "pending_tokens": len(sequence.pending),
                "first_position": 0 if length else -1,
                "last_position": length - 1,
                "token_sha256": hashlib.sha256(np.asarray(sequence.tokens, dtype="<i4").tobytes()).hexdigest(),
                "kv_bytes_used": length * self._description.kv_bytes_per_token,
                "kv_bytes_allocated": sequence.cache.allocated_bytes,
            }
        )

    def _state_hash(self, call: Call) -> Frame:
        sequence = self._find(int(call.head["sequence"]))
        digest = xxhash.xxh3_64(np.asarray(sequence.tokens, dtype="<i4").tobytes())
        for cells in sequence.cache.cells():
            digest.update(cells.data)
        return Frame({"hash": digest.hexdigest()})

    # ---- snapshots --------------------------------------------------------------------------------------------------

    def _fit(self) -> snapshot.Fit:
        facts = self.facts()

        def yes(value: bool) -> str:
            return "yes" if value else "no"

        return {
            "engine": facts["engine"],
            "build": facts["build"],
            "model": facts["model_name"],
            "architecture": facts["architecture"],
            "model_bytes": str(facts["model_bytes"]),
            "model_digest": self._description.digest,
            "vocabulary": str(facts["vocabulary"]),
            "window_tokens": str(facts["window_tokens"]),
            "kv_bytes_per_token": str(facts["kv_bytes_per_token"]),
            "kv_type_k": facts["kv_type_k"],
            "kv_type_v": facts["kv_type_v"],
            "flash_attention": yes(facts["flash_attention"]),
            "kernels": facts["kernels"],
            "isolation": facts["isolation"],
            "batch_invariant": yes(facts["batch_invariant"]),
            "grade": facts["grade"],
        }

    def _snapshot(self, call: Call) -> Frame:
        """Payload: a line of JSON, the logits where there are some, then the cells."""
        sequence = self._find_idle(int(call.head["sequence"]))
        cells = b"".join(piece.tobytes() for piece in sequence.cache.cells())
        logits = b"" if sequence.logits is None else sequence.logits.astype("<f4").tobytes()
        if sequence.cache.length != sequence.computed:
            raise unsupported("--leaky", "a cache that others have written to makes no snapshot")
        if self._restart:
            raise unsupported("--positions", "a snapshot holds no positions that begin anew")
        head = json.dumps({"cells": sequence.computed, "logits": len(logits)}).encode() + b"\n"
        return Frame({}, snapshot.pack(self._fit(), sequence.tokens, head + logits + cells))

    def _restore(self, call: Call) -> Frame:
        content = snapshot.unpack(call.tail, self._fit())
        capacity = int(call.head["capacity_tokens"])
        self._check_capacity(capacity)
        if len(content.tokens) > capacity:
            raise SeamError("resource", f"{len(content.tokens)} tokens do not fit into {capacity}", "", "restore it with more room")
        logits, length, cells = self._read_payload(content)
        cache = self._network.restored_cache(self._room(capacity), cells) if length else self._new_cache(capacity)
        return Frame({"sequence": self._keep(Sequence(cache, capacity, content.tokens, list(range(len(content.tokens))), length, logits))})

    def _read_payload(self, content: snapshot.Content) -> tuple[Logits | None, int, list[memoryview]]:
        head_bytes = bytes(content.payload[:100]).find(b"\n")
        try:
            head = json.loads(bytes(content.payload[: max(head_bytes, 0)]))
            length, logit_bytes = int(head["cells"]), int(head["logits"])
        except (ValueError, KeyError, TypeError) as error:
            raise snapshot.damaged("its cells are not there") from error
        rest = content.payload[head_bytes + 1 :]
        sizes = [length * each for each in self._description.cell_bytes]
        whole = logit_bytes in (0, 4 * self._description.vocabulary) and len(rest) == logit_bytes + sum(sizes)
        if not whole or not len(content.tokens) - 1 <= length <= len(content.tokens):
            raise snapshot.damaged(f"{len(content.payload)} bytes do not hold the cells of {len(content.tokens)} tokens")
        logits = np.frombuffer(rest[:logit_bytes], dtype="<f4").astype(np.float32) if logit_bytes else None
        cells, at = [], logit_bytes
        for size in sizes:
            cells.append(rest[at : at + size])
            at += size
        return logits, length, cells

    def _close(self, call: Call) -> Frame:
        identifier = int(call.head["sequence"])
        sequence = self._sequences.pop(identifier, None)
        if sequence is None:
            raise closed(identifier)
        if sequence.job is not None:
            sequence.job.end("cancelled")
        return Frame({})

    # ---- jobs -------------------------------------------------------------------------------------------------------

    def take_in(self, call: Call) -> Running:
        identifier = int(call.head["sequence"])
        sequence = self._find_idle(identifier)
        tokens = [int(token) for token in call.head["tokens"]]
        options = call.head["options"]
        if not tokens and options is None:
            raise SeamError("bad_input", "there are no tokens to append, and there is nothing to generate")
        generation = None if options is None else self._generation(options, call.tail)
        if tokens:
            self._check_fits(sequence, tokens)
        elif not sequence.tokens:
            raise SeamError("bad_input", "the sequence is empty", "", "prefill it first")
        position = 0 if self._restart else sequence.next_position
        sequence.job = Running(call, sequence, tokens, generation, position)
        return sequence.job

    def _generation(self, options: Head, tail: bytes) -> Generation:
        sampling = sampling_from(options)
        for name in ("logit_bias", "logprobs", "grammar"):
            if options.get(name) is not None:
                raise SeamError("unsupported", f"framework workers have no {name}", name, "leave it out, or use --engine llama")
        stops, at = [], 0
        for size in options["stop_bytes"]:
            stops.append(tail[at : at + size])
            at += size
        if at > len(tail):
            raise SeamError("bad_input", "the stop strings are not all there")
        if any(not stop for stop in stops):
            raise SeamError("usage", "a stop string is empty", "stop", "leave it out")
        forbidden = sorted(self._tokenizer.ends) if options["ignore_end"] else []
        result: Head = {"tokens": [], "logit_hashes": [], "token_ns": [], "drafted_tokens": 0, "accepted_tokens": 0}
        return Generation(Sampler(sampling, forbidden), GeneratedText(stops), int(options["max_tokens"]), bool(options["hash_logits"]), result)

    def step(self, jobs: list[Job]) -> None:
        """A token of each that draws, and a chunk of one that prefills: these take turns. Each computes by itself, whatever is beside it."""
        running = [job for job in jobs if isinstance(job, Running) and job.runs]
        for job in running:
            self._end_if_done(job)
        drawing = [job for job in running if job.has_prefilled and job.generation is not None]
        prefilling = [job for job in running if job.runs and not job.has_prefilled]
        for job in drawing:
            if job.runs:
                self._guarded(job, self._draw)
        if prefilling:
            self._guarded(min(prefilling, key=lambda job: job.turn), self._prefill_chunk)
        for job in running:
            if job.runs:
                self._end_if_done(job)

    def _guarded(self, job: Running, work: Callable[[Running], None]) -> None:
        try:
            with self._poisoning(job.sequence):
                work(job)
        except Exception as error:  # the other jobs go on
            job.fail(error)

    def _end_if_done(self, job: Running) -> None:
        generation, sequence = job.generation, job.sequence
        enough = generation is None or len(generation.result["tokens"]) >= generation.max_tokens or len(sequence.tokens) >= sequence.capacity
        if job.has_prefilled and enough:
            job.end("length")
        elif job.call.cancelled():
            job.end("cancelled")

    def _prefill_chunk(self, job: Running) -> None:
        """Chunks are cut out of pending and new tokens, so that their boundaries depend on these only."""
        self._turns += 1
        job.turn = self._turns
        sequence = job.sequence
        pending = sequence.pending  # before the first chunk only
        chunk = job.prefill[job.prefilled : job.prefilled + self._network.chunk - len(pending)]
        sequence.append(chunk, job.position + job.prefilled)
        self._compute(sequence, pending + chunk)
        job.prefilled += len(chunk)
        job.call.on_progress(job.prefilled)

    def _draw(self, job: Running) -> None:
        sequence, generation = job.sequence, job.generation
        assert generation is not None
        result = generation.result
        logits = self._prepare_to_draw(sequence)
        drawn = generation.sampler.draw(logits, sequence.tokens)
        if drawn is None:
            raise SeamError("internal", "the model gave no finite logits")
        index = len(result["tokens"])
        result["tokens"].append(drawn)
        result["token_ns"].append(time.perf_counter_ns() - job.begin)
        if generation.hash_logits:
            result["logit_hashes"].append(xxhash.xxh3_64_hexdigest(np.ascontiguousarray(logits).data))
        sequence.append([drawn], sequence.next_position)
        sequence.logits = None
        job.call.on_token(drawn, index)
        if drawn in self._tokenizer.ends:
            job.end("end")
        elif generation.text.append(self._tokenizer.piece(drawn)):
            job.end("stop")


def _log_probability(logits: Logits, token: int) -> float:
    values = logits.astype(np.float64)
    largest = values.max()
    return float(values[token] - largest - np.log(np.exp(values - largest).sum()))


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise SeamError("bad_input", f"the text is not UTF-8 at byte {error.start}") from error
