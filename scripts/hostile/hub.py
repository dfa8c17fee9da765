#!/usr/bin/env python3
"""A hub that misbehaves in many ways, asked by `bulkhead pull`. None may end the program with a signal or hold it, make it write outside of the
models folder, send a token to another host, or believe what nobody promised.

scripts/hostile/hub.py PROGRAM [--most N] [--only WORD]

--most bounds the number of misbehaviours (default: all, some minutes). Ends with `N tries, N signals, N hangs, N wrong codes`, and with code 1
when any is not 0."""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gguf_file import make_model
from tries import Outcome, Tries, quiet_environment, sample

TOKEN, LOGIN = "hf_secret_token", "someone:s3cret-word"
FILE = make_model("llama", layers=1).encode()
SUM = hashlib.sha256(FILE).hexdigest()
OTHER = bytes(255 - byte for byte in FILE)
REMOTE, CORRUPT, OK = (6,), (4,), (0,)


@dataclass
class Asked:
    path: str
    headers: dict[str, str]
    count: int  # requests of this server so far, with this one

    def is_listing(self) -> bool:
        return self.path.startswith("/api/")

    def begin(self) -> int:
        return int(self.headers["range"].split("=")[1].split("-")[0]) if "range" in self.headers else 0


class Answer:
    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection

    def raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def head(self, status: str, **headers: object) -> None:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self.raw(f"HTTP/1.1 {status}\r\nConnection: close\r\n{lines}\r\n".encode("latin-1"))

    def whole(self, body: bytes, status: str = "200 OK", **headers: object) -> None:
        self.head(status, Content_Length=len(body), **headers)
        self.raw(body)

    def listing(self, files: list[dict], **more: object) -> None:
        self.whole(json.dumps({"sha": "a" * 40, "siblings": files} | more).encode())

    def file(self, asked: Asked, data: bytes = FILE, **headers: object) -> None:
        """As a good server does."""
        begin = asked.begin()
        if begin >= len(data):
            self.head("416 Range Not Satisfiable", Content_Range=f"bytes */{len(data)}", Content_Length=0)
        elif begin:
            self.whole(data[begin:], "206 Partial Content", Content_Range=f"bytes {begin}-{len(data) - 1}/{len(data)}", ETag='"e"', **headers)
        else:
            self.whole(data, ETag='"e"', **headers)

    def chunks(self, chunk: bytes, count: int) -> None:
        self.head("200 OK", Transfer_Encoding="chunked")
        for _ in range(count):
            self.raw(b"%x\r\n" % len(chunk) + chunk + b"\r\n")


class Server:
    def __init__(self, behave: Callable[[Asked, Answer], None]) -> None:
        self.behave = behave
        self.asked: list[Asked] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.open = True
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while self.open:
            with contextlib.suppress(OSError):
                connection, _ = self.socket.accept()
                threading.Thread(target=self.answer, args=(connection,), daemon=True).start()

    def answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection:
            connection.settimeout(120)
            text = b""
            while b"\r\n\r\n" not in text:
                piece = connection.recv(65536)
                if not piece:
                    return
                text += piece
            lines = text.split(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
            headers = {line.split(":", 1)[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:] if ":" in line}
            asked = Asked(lines[0].split(" ")[1], headers, len(self.asked) + 1)
            self.asked.append(asked)
            self.behave(asked, Answer(connection))

    def close(self) -> None:
        self.open = False
        self.socket.close()


@dataclass
class Mode:
    name: str
    behave: Callable[[Asked, Answer], None]
    allowed: tuple[int, ...]
    other: Callable[[Asked, Answer], None] | None = None  # the server that the first may lead to, as OTHER_HOST
    repository: str = "user/repo"
    most_requests: int = 12
    verified: bool | None = None  # what a success must say
    same: bytes | None = FILE  # the model's bytes after a success
    files: dict[str, bytes] = field(default_factory=dict)


def entry(name: str = "m-Q4_K_M.gguf", size: int | None = len(FILE), promise: str | None = SUM) -> dict:
    one: dict = {"rfilename": name}
    if size is not None:
        one["size"] = size
    if promise:
        one["lfs"] = {"sha256": promise} | ({} if size is None else {"size": size})
    return one


GOOD, UNPROMISED, UNSIZED = [entry()], [entry(promise=None)], [entry(size=None, promise=None)]


def with_listing(files: list[dict], rest: Callable[[Asked, Answer], None]) -> Callable[[Asked, Answer], None]:
    return lambda asked, answer: answer.listing(files) if asked.is_listing() else rest(asked, answer)


def good(asked: Asked, answer: Answer) -> None:
    answer.file(asked)


def forever(step: Callable[[Answer], None], pause: float) -> Callable[[Asked, Answer], None]:
    def behave(_: Asked, answer: Answer) -> None:
        end = time.monotonic() + 300
        while time.monotonic() < end:
            step(answer)
            time.sleep(pause)
    return behave


def drip_body(asked: Asked, answer: Answer) -> None:
    answer.head("200 OK", Content_Length=len(FILE), ETag='"e"')
    forever(lambda to: to.raw(b"G"), 0.2)(asked, answer)


def drip_head(asked: Asked, answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\n")
    forever(lambda to: to.raw(b"X-A: b\r\n"), 0.5)(asked, answer)


def one_byte(asked: Asked, answer: Answer) -> None:
    begin = asked.begin()
    status = "206 Partial Content" if begin else "200 OK"
    headers = {"Content_Range": f"bytes {begin}-{len(FILE) - 1}/{len(FILE)}"} if begin else {}
    answer.head(status, Content_Length=len(FILE) - begin, ETag='"e"', **headers)
    answer.raw(FILE[begin:begin + 1])


def breaks_then(rest: Callable[[Asked, Answer], None]) -> Callable[[Asked, Answer], None]:
    def behave(asked: Asked, answer: Answer) -> None:
        if "range" in asked.headers:
            rest(asked, answer)
        else:
            answer.head("200 OK", Content_Length=len(FILE), ETag='"e"')
            answer.raw(FILE[:1000])
    return behave


def endless_heads(_: Asked, answer: Answer) -> None:
    answer.raw(b"HTTP/1.1 200 OK\r\n")
    for number in range(10**6):
        answer.raw(b"X-%d: " % number + b"y" * 4000 + b"\r\n")


def redirects() -> list[Mode]:
    def to(place: str, **more: object) -> Callable[[Asked, Answer], None]:
        return lambda asked, answer: answer.whole(b"", "302 Found", Location=place.replace("PATH", asked.path), **more)

    def of_file(place: str, files: list[dict] = GOOD, **more: object) -> Callable[[Asked, Answer], None]:
        return with_listing(files, to(place, **more))

    forged = {"X_Linked_Etag": f'"{hashlib.sha256(OTHER).hexdigest()}"'}
    return [
        *(Mode(f"redirect to {place[:20]}", to(place), REMOTE) for place in ("file:///etc/passwd", "gopher://127.0.0.1:22/", "ftp://127.0.0.1/", "PATHx", "//", "http://", "http://[", "http://127.0.0.1:1/", "dict://127.0.0.1:11211/")),
        *(Mode(f"file redirected to {place[:20]}", of_file(place), REMOTE) for place in ("file:///etc/passwd", "PATHx", "data:,GGUF", "\x01")),
        Mode("redirect to another port", to("http://127.0.0.1:OTHERPATH"), OK, with_listing(GOOD, good)),
        Mode("redirect to another host", to("http://localhost:OTHERPATH"), OK, with_listing(GOOD, good)),
        Mode("redirect with a login", to("http://u:p@127.0.0.1:OTHERPATH"), OK, with_listing(GOOD, good)),
        Mode("file redirected to another host", of_file("http://localhost:OTHERPATH"), OK, good, verified=True),
        Mode("promise of the hub, other bytes", of_file("http://localhost:OTHERPATH"), CORRUPT, lambda asked, answer: answer.file(asked, OTHER)),
        Mode("promise of the first hop, other bytes", of_file("http://localhost:OTHERPATH", UNPROMISED, X_Linked_Etag=f'"{SUM}"'), CORRUPT,
             lambda asked, answer: answer.file(asked, OTHER, **forged)),
        Mode("promise of a redirect only", of_file("http://localhost:OTHERPATH", UNPROMISED), OK,
             lambda asked, answer: answer.file(asked, X_Linked_Etag=f'"{SUM}"'), verified=False),
        Mode("forged promise of a redirect", of_file("http://localhost:OTHERPATH"), CORRUPT, lambda asked, answer: answer.file(asked, OTHER, **forged)),
    ]


def lengths() -> list[Mode]:
    def file(behave: Callable[[Asked, Answer], None], files: list[dict] = UNSIZED) -> Callable[[Asked, Answer], None]:
        return with_listing(files, behave)

    def announce(length: object, data: bytes = FILE) -> Callable[[Asked, Answer], None]:
        def behave(_: Asked, answer: Answer) -> None:
            answer.head("200 OK", Content_Length=length)
            answer.raw(data)
        return behave

    def two(_: Asked, answer: Answer) -> None:
        answer.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: %d\r\n\r\n" % len(FILE) + FILE)

    return [
        Mode("too few announced", file(announce(len(FILE) // 2)), (0, 4, 6), same=None),
        Mode("too many announced", file(announce(len(FILE) * 2)), REMOTE),
        Mode("negative length", file(announce(-5)), REMOTE),
        Mode("length of 2^63-1", file(announce(2**63 - 1)), REMOTE),
        Mode("length of 2^80", file(announce(2**80)), REMOTE),
        Mode("length in words", file(announce("many")), (0, 6)),
        Mode("two lengths", file(two), (0, 4, 6), verified=False),
        Mode("no length at all", file(lambda _, answer: (answer.head("200 OK"), answer.raw(FILE))), REMOTE),
        Mode("nothing", file(lambda asked, answer: answer.whole(b"")), CORRUPT),
        Mode("a size of 0", with_listing([entry(size=0, promise=None)], lambda asked, answer: answer.whole(b"")), CORRUPT),
        Mode("other size than listed", file(lambda asked, answer: answer.file(asked, FILE + b"xx"), GOOD), REMOTE),
        Mode("a size that no disk has", with_listing([entry(size=2**62)], good), (5,)),
        Mode("chunks without an end", file(lambda _, answer: answer.chunks(b"GGUF" + b"\0" * (1 << 20), 10**5)), REMOTE),
        Mode("chunks that are none", file(lambda _, answer: (answer.head("200 OK", Transfer_Encoding="chunked"), answer.raw(b"f" * 18 + b"\r\n" + FILE))), REMOTE),
        Mode("chunks", file(lambda _, answer: (answer.chunks(FILE, 1), answer.raw(b"0\r\n\r\n"))), OK, verified=False),
        Mode("a packed file", file(lambda _, answer: answer.whole(gzip.compress(b"GGUF" + b"\0" * 10**7), Content_Encoding="gzip")), CORRUPT),
        Mode("a packed listing", lambda _, answer: answer.whole(gzip.compress(b'{"a": "' + b"0" * 10**8 + b'"}'), Content_Encoding="gzip"), REMOTE),
        Mode("one byte a connection", file(one_byte, GOOD), REMOTE),
        Mode("a page in place of the file", file(lambda _, answer: answer.whole(b"<html>log in</html>", Content_Type="text/html")), CORRUPT),
        Mode("another sum", with_listing([entry(promise="0" * 64)], good), CORRUPT),
        Mode("another range than asked for", file(breaks_then(lambda _, answer: answer.whole(FILE, "206 Partial Content", ETag='"e"', Content_Range=f"bytes 0-{len(FILE) - 1}/{len(FILE)}")), GOOD), REMOTE),
        Mode("other bytes for the rest, none promised", file(breaks_then(lambda asked, answer: answer.file(asked, OTHER)), UNPROMISED), REMOTE),
        Mode("other bytes for the rest", file(breaks_then(lambda asked, answer: answer.file(asked, OTHER)), GOOD), (4, 6)),
        Mode("a validator with a line break", file(lambda _, answer: (answer.head("200 OK", Content_Length=len(FILE), ETag='"a\rX-Injected: 1"'), answer.raw(FILE[:1000])), GOOD), REMOTE),
        Mode("breaks off once", file(breaks_then(good), GOOD), OK, verified=True),
    ]


def statuses() -> list[Mode]:
    modes = [Mode(f"status {status}", lambda _, answer, status=status: answer.whole(b"", f"{status} No", Retry_After=1), REMOTE) for status in
             (204, 301, 304, 400, 401, 403, 404, 407, 416, 429, 451, 500, 503, 599)]
    modes += [Mode(f"status {status} for the file", with_listing(GOOD, lambda _, answer, status=status: answer.whole(b"", f"{status} No", Retry_After=1)), REMOTE) for status in
              (206, 302, 403, 404, 416, 429, 503)]
    return [*modes,
            Mode("come back in a year", lambda _, answer: answer.whole(b"", "503 No", Retry_After=31536000), REMOTE),
            Mode("a reason with escapes", lambda _, answer: answer.whole(b"", "403 No", X_Error_Message="\x1b[31mpwn\x1b]0;title\x07\xff\xfe\x9b31m"), REMOTE),
            Mode("an error page without an end", lambda _, answer: (answer.head("404 No", Transfer_Encoding="chunked"), [answer.raw(b"5\r\nhello\r\n") for _ in range(10**7)]), REMOTE)]


def protocol() -> list[Mode]:
    return [
        Mode("no header", lambda _, answer: answer.raw(FILE), REMOTE),
        Mode("noise", lambda _, answer: answer.raw(b"\x00\xff\xfe" * 1000), REMOTE),
        Mode("headers without an end", endless_heads, REMOTE),
        Mode("a header of 30 MB", lambda _, answer: answer.raw(b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 30_000_000 + b"\r\n\r\n"), REMOTE),
        Mode("goodbye", lambda _, answer: None, REMOTE),
        Mode("a body that drips", with_listing(GOOD, drip_body), REMOTE),
        Mode("headers that drip", drip_head, REMOTE),
        Mode("silence", forever(lambda _: None, 1), REMOTE),
    ]


def names() -> list[Mode]:
    modes = []
    for name in ("../../../pwn-Q4_K_M.gguf", "/tmp/pwn-Q4_K_M.gguf", "a\0b-Q4_K_M.gguf", "\x1b[31mred\x1b]0;t\x07-Q4_K_M.gguf", "a\nb-Q4_K_M.gguf", "\u202efugg-Q4_K_M.gguf",
                 "\x9b31mC1-Q4_K_M.gguf", "..\\..\\x-Q4_K_M.gguf", "", "a//b-Q4_K_M.gguf", "./m-Q4_K_M.gguf", "\ud800-Q4_K_M.gguf"):
        modes.append(Mode(f"name {name!r}", with_listing([entry(name)], good), REMOTE))
    modes.append(Mode("a name of 300 letters", with_listing([entry("a" * 300 + "-Q4_K_M.gguf")], good), (5, 6)))
    for name in ("..-Q4_K_M.gguf", "-rf-Q4_K_M.gguf", "~/x-Q4_K_M.gguf", ".bashrc-Q4_K_M.gguf", "a?b#c%2e%2e-Q4_K_M.gguf", "M-Q4_K_M.GGUF", "q/m-Q4_K_M-00001-of-00001.gguf"):
        modes.append(Mode(f"name {name!r}", with_listing([entry(name)], good), OK, verified=True))
    parts = [entry(f"m-Q4_K_M-{part:05}-of-00002.gguf") for part in (1, 2)]
    modes += [
        Mode("a split model", with_listing(parts, good), OK, verified=True),
        Mode("a split model and a whole one", with_listing([*parts, entry()], good), OK, verified=True),
        Mode("a split model that lacks a part", with_listing(parts[1:], good), (2, 6)),
        Mode("a split model whose second part is wrong", with_listing(parts, lambda asked, answer: answer.file(asked, OTHER if "00002-of" in asked.path else FILE)), CORRUPT),
        Mode("99999 parts", with_listing([entry("m-Q4_K_M-00001-of-99999.gguf")], good), REMOTE),
        Mode("one name twice", with_listing([entry(), entry(promise="0" * 64)], good), (0, 2, 4)),
        Mode("a repository with --", with_listing(GOOD, good), OK, repository="user--repo/m--x", verified=True),
    ]
    return modes


def listings() -> list[Mode]:
    def answers(body: bytes) -> Callable[[Asked, Answer], None]:
        return lambda _, answer: answer.whole(body)

    bodies = {
        "700,000 files": b'{"siblings": [' + b",".join(b'{"rfilename": "f%d.gguf"}' % i for i in range(700_000)) + b"]}",
        "7 million brackets": b'{"siblings": ' + b"[" * 7_000_000 + b"]" * 7_000_000 + b"}",
        "brackets beside the files": b'{"x": ' + b"[" * 3_000_000 + b"]" * 3_000_000 + b', "siblings": [{"rfilename": "m-Q4_K_M.gguf"}]}',
        "brackets without an end": b"[" * 10_000_000,
        "a page": b"<html>no</html>",
        "nothing": b"",
        "null": b"null",
        "not UTF-8": b'{"siblings": [{"rfilename": "\xff\xfe-Q4_K_M.gguf"}]}',
        "a name that is a number": b'{"sha": 7, "siblings": [{"rfilename": 5}]}',
        "a size of 2^70": b'{"siblings": [{"rfilename": "m-Q4_K_M.gguf", "size": 1180591620717411303424}]}',
        "a size of -1": b'{"siblings": [{"rfilename": "m-Q4_K_M.gguf", "size": -1}]}',
        "a size in words": b'{"siblings": [{"rfilename": "m-Q4_K_M.gguf", "size": "big"}]}',
        "a sum that is a list": b'{"siblings": [{"rfilename": "m-Q4_K_M.gguf", "lfs": {"sha256": []}}]}',
        "files that are no list": b'{"siblings": {"rfilename": "m-Q4_K_M.gguf"}}',
        "a revision that leads away": b'{"sha": "../../etc", "siblings": []}',
    }
    modes = [Mode(f"a listing of {name}", answers(body), (2, 6)) for name, body in bodies.items()]
    return [*modes, Mode("a listing without an end", lambda _, answer: answer.chunks(b" " * (1 << 20), 3000), REMOTE)]


def repositories() -> list[Mode]:
    config = entry("config.json", 2, None)
    weights = entry("model.safetensors")

    def serve(files: list[dict], **special: bytes) -> Callable[[Asked, Answer], None]:
        def rest(asked: Asked, answer: Answer) -> None:
            name = asked.path.rsplit("/", 1)[1]
            if name == "model.safetensors.index.json" and "index" in special:
                answer.whole(special["index"])
            elif name.endswith(".json"):
                answer.whole(b"{}")
            else:
                answer.file(asked)
        return with_listing(files, rest)

    def index(body: bytes) -> Callable[[Asked, Answer], None]:
        return serve([config, entry("model.safetensors.index.json", len(body), None), weights], index=body)

    return [
        Mode("a checkpoint", serve([config, weights]), OK, verified=True, same=None),
        Mode("weights listed twice", serve([config, weights, entry("model.safetensors", promise="0" * 64)]), (0, 2, 4, 6), same=None),
        Mode("names that differ in case", serve([config, weights, entry("Model.safetensors")]), (0, 4, 6), same=None),
        Mode("an index that leads away", index(json.dumps({"weight_map": {"a": "../../../etc/passwd"}}).encode()), CORRUPT),
        Mode("an index of brackets", index(b'{"weight_map": {}, "x": ' + b"[" * 2_000_000 + b"]" * 2_000_000 + b"}"), (3, 4, 6)),
        Mode("a small file without an end", with_listing([entry("config.json", None, None), weights], lambda _, answer: answer.chunks(b" " * (1 << 20), 10**5)), REMOTE),
        Mode("a note like ours", serve([config, entry(".pulled.json", 2, None), entry("model.safetensors.sha256.json", 2, None), weights]), OK, verified=True, same=None),
        Mode("weights with another sum", serve([config, entry("model.safetensors", promise="0" * 64)]), CORRUPT),
    ]


def all_modes() -> list[Mode]:
    return [Mode("as it should be", with_listing(GOOD, good), OK, verified=True), *redirects(), *lengths(), *statuses(), *protocol(), *names(), *listings(), *repositories()]


def wrong_with(mode: Mode, outcome: Outcome, server: Server, other: Server | None, models: Path, outside: set[str]) -> str:
    """What is amiss besides the code; empty: nothing."""
    code, said = outcome.code, outcome.output + outcome.errors
    if any(ord(letter) < 32 and letter not in "\n\r\t" or 0x7F <= ord(letter) < 0xA0 or letter == "\u202e" for letter in said):
        return "control characters were printed"
    if any(secret in said for secret in (TOKEN, LOGIN, LOGIN.split(":")[1])):
        return "a secret was printed"
    if other is not None and any("authorization" in asked.headers and asked.headers["authorization"] not in ("Basic dTpw",) for asked in other.asked):
        return "a secret went to another server"
    if len(server.asked) > mode.most_requests:
        return f"{len(server.asked)} requests"
    if any("x-injected" in asked.headers for asked in server.asked):
        return "a header was injected"
    if {path.name for path in models.parent.iterdir()} != outside:
        return "something was written outside of the models folder"
    found = [path for path in models.rglob("*") if path.is_file() and ".staging" not in path.parts] if models.exists() else []
    if code != 0:
        return f"{found[0].name} is there although the pull failed" if found else ""
    if mode.same is not None and any(path.read_bytes() != mode.same for path in found):
        return "the model has other bytes"
    if mode.verified is not None and mode.verified != json.loads(outcome.output)["verified"]:
        return f"verified is not {mode.verified}"
    return ""


def attempt(tries: Tries, mode: Mode, folder: Path, login: bool) -> None:
    other = Server(mode.other) if mode.other else None
    marker = str(other.port) if other else "1"

    def behave(asked: Asked, answer: Answer) -> None:
        inner = answer.raw
        answer.raw = lambda data: inner(data.replace(b":OTHER", b":" + marker.encode(), 1) if b":OTHER" in data[:2000] else data)  # type: ignore[method-assign]
        mode.behave(asked, answer)

    server = Server(behave)
    models = folder / "place" / "models"
    models.parent.mkdir(exist_ok=True)
    outside = {path.name for path in models.parent.iterdir()} | {"models"}
    models.mkdir()
    user = f"{LOGIN}@" if login else ""
    tries.environment |= {"HF_ENDPOINT": f"http://{user}127.0.0.1:{server.port}", "HF_TOKEN": TOKEN, "BULKHEAD_MODELS": str(models), "TMPDIR": str(folder / "tmp")}
    outcome = tries.start(["pull", "-hf", mode.repository, "--json"])
    amiss = "" if outcome.hung else wrong_with(mode, outcome, server, other, models, outside)
    tries.judge(f"{mode.name}{' with a login' if login else ''}", outcome, mode.allowed, amiss)
    server.close()
    if other:
        other.close()
    for path in sorted(models.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    models.rmdir()


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("program")
    flags.add_argument("--most", type=int, default=0)
    flags.add_argument("--only", default="")
    chosen = flags.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        tries = Tries(chosen.program, quiet_environment(folder), patience=200)
        modes = [mode for mode in all_modes() if chosen.only in mode.name]
        if chosen.most:
            slow = ("drip", "silence", "without an end", "429", "500", "503", "bracket")
            modes = sample([mode for mode in modes if not any(word in mode.name for word in slow)], chosen.most)
        for number, mode in enumerate(modes):
            attempt(tries, mode, folder, login=number % 7 == 3)
        return tries.summary()


if __name__ == "__main__":
    sys.exit(main())
