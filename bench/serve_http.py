"""A server on a free port of loopback for as long as a bench needs it, and a client that notes when each token came."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

Json = dict[str, Any]

START_SECONDS = 300
ANSWER_SECONDS = 1800
AT_ONCE_SECONDS = 0.001


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Server:
    """`command` with --host and --port behind it, from the block's begin, when it answers, to its end."""

    def __init__(self, command: list[str], keys: str = "") -> None:
        self.command = command
        self.keys = keys
        self.port = 0
        self.peak_rss_bytes = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.port = free_port()
        self.log = tempfile.TemporaryFile()
        keys = ["--api-key", self.keys] if self.keys else []
        self.process = subprocess.Popen(
            [*self.command, "--host", "127.0.0.1", "--port", str(self.port), *keys], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        end = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__(None, None, None)
                raise ServerFailed(f"{' '.join(self.command)} does not start:\n{self.said[-1500:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        assert self.process is not None and self.log is not None
        if self.process.poll() is None:
            self.peak_rss_bytes = self._peak()
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.seek(0)
        self.said = self.log.read().decode(errors="replace")
        self.log.close()

    def _is_ready(self) -> bool:
        try:
            return self.ask("GET", "/health")[0] == 200
        except OSError:
            return False

    def _peak(self) -> int:
        """Most memory that it had at a time; 0 where the system does not say."""
        assert self.process is not None
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))

    def ask(self, method: str, path: str, body: Json | None = None) -> tuple[int, Json]:
        """Status and answer of a short request, by the first of the keys."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json"} | self.authorization(self.keys.split(",")[0])
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            reply = connection.getresponse()
            text = reply.read()
        finally:
            connection.close()
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = {}
        return reply.status, parsed if isinstance(parsed, dict) else {"list": parsed}

    def tokens(self, text: str) -> int:
        status, reply = self.ask("POST", "/tokenize", {"content": text})
        if status != 200:
            raise ServerFailed(f"/tokenize: status {status}: {reply}")
        return len(reply["tokens"])

    @staticmethod
    def authorization(key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"} if key else {}


class ServerFailed(Exception):
    """It did not start, or it gave another answer than one that can be measured."""


@dataclass
class Stream:
    """One answer: when it was asked for, when each piece of text came, and what it says."""

    sent: float
    began: float = 0  # when the first event came, with text or without
    times: list[float] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)  # read once it is over: the servers need the processor
    text: str = ""
    usage: Json = field(default_factory=dict)

    @property
    def first(self) -> float:
        """Seconds to the first text."""
        if not self.times:
            raise ServerFailed(f"no text came: {self.usage}")
        return self.times[0] - self.sent

    def gaps(self) -> list[tuple[float, float]]:
        """The end of each pause between two steps, and its length. What comes at once is of one step: drafts that held."""
        steps = [time for last, time in zip([0.0, *self.times], self.times, strict=False) if time - last > AT_ONCE_SECONDS]
        return [(after, after - before) for before, after in itertools.pairwise(steps)]

    def cached(self) -> int:
        return int((self.usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)


# An event with this in it has text, in a chat or in a completion; one that opens the turn has none.
_TEXT = (b'"content":"', b'"text":"')
_NO_TEXT = (b'"content":""', b'"text":""')


class Client:
    """Asks one server for answers of an exact length, greedily, as a stream."""

    def __init__(self, server: Server, chats: bool) -> None:
        self.server = server
        self.chats = chats

    def body(self, prompt: str | list[Json], tokens: int) -> Json:
        asked: Json = {"messages" if self.chats else "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True}
        return asked | {"stream": True, "stream_options": {"include_usage": True}}

    def ask(self, prompt: str | list[Json], tokens: int, key: str = "", running: Running | None = None) -> Stream:
        path = "/v1/chat/completions" if self.chats else "/v1/completions"
        data = json.dumps(self.body(prompt, tokens))
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=ANSWER_SECONDS)
        stream = Stream(sent=time.monotonic())
        if running is not None:
            running.stream = stream
        try:
            connection.request("POST", path, data, {"Content-Type": "application/json"} | Server.authorization(key))
            reply = connection.getresponse()
            if reply.status != 200:
                raise ServerFailed(f"{path}: status {reply.status}: {reply.read(2000).decode(errors='replace')}")
            was_left = self._read(reply, stream, running)
        finally:
            connection.close()
        self._understand(stream)
        if not was_left:
            self._check(stream, tokens)
        return stream

    @staticmethod
    def _read(reply: http.client.HTTPResponse, stream: Stream, running: Running | None) -> bool:
        """Whether it was left before its end."""
        while line := reply.readline():
            if not line.startswith(b"data: "):
                continue
            stream.began = stream.began or time.monotonic()
            if any(mark in line for mark in _TEXT) and not any(mark in line for mark in _NO_TEXT):
                stream.times.append(time.monotonic())
            stream.lines.append(line)
            if running is not None and running.leave:
                return True
        return False

    def _understand(self, stream: Stream) -> None:
        for line in stream.lines:
            data = line[len(b"data: ") :].strip()
            if data == b"[DONE]":
                continue
            event = json.loads(data)
            if "error" in event:
                raise ServerFailed(f"an answer failed: {event['error']}")
            for choice in event.get("choices") or []:
                stream.text += (choice.get("delta", {}).get("content") if self.chats else choice.get("text")) or ""
            stream.usage = event.get("usage") or stream.usage
        stream.lines.clear()

    @staticmethod
    def _check(stream: Stream, tokens: int) -> None:
        drawn = stream.usage.get("completion_tokens")
        if drawn != tokens:
            raise ServerFailed(f"{drawn} tokens came where {tokens} were asked for")


@dataclass
class Running:
    """A stream that another thread looks at while it comes, and may end."""

    stream: Stream | None = None
    leave: bool = False

    def count(self) -> int:
        return len(self.stream.times) if self.stream is not None else 0


class OtherWork:
    """How much of a core others computed meanwhile, beside the server and this process; None where the system does not say."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self.pid = server.process.pid
        self.begin = time.monotonic()
        self.before = self._ticks()

    def cores(self) -> float | None:
        after = self._ticks()
        if self.before is None or after is None:
            return None
        return max(0.0, after - self.before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - self.begin)

    def _ticks(self) -> float | None:
        try:
            every = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]
            own = [Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace") for pid in (self.pid, os.getpid())]
        except OSError:
            return None
        busy = sum(int(every[column]) for column in (0, 1, 2, 5, 6, 7))  # but idle, and waiting for a disk
        return busy - sum(int(ticks) for text in own for ticks in text.rpartition(")")[2].split()[11:13])


def machine() -> Json:
    about: Json = {"cores": os.cpu_count(), "os": f"{os.uname().sysname} {os.uname().release} {os.uname().machine}"}
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        about["cpu"] = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        family = {line.split(":")[0].strip(): line.split(":")[1].strip() for line in lines if ":" in line}
        about["cpu_family"], about["cpu_model"] = family.get("cpu family"), family.get("model")
    except (OSError, StopIteration):
        about["cpu"] = "unknown"
    return about


def commit() -> str:
    return subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False).stdout.strip()
