# SPDX-License-Identifier: MIT
"""Models, partitions and messages: one set of weights, many KV caches that cannot see each other.

Any thread may call any model or partition. Calls on one partition wait for each other; those on different partitions are
computed together, and none of them changes what another gives. The library computes without the interpreter's lock.

A call that is cancelled leaves its partition usable, and all others untouched: Ctrl-C in the main thread does that too.
"""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

from bulkhead_kv._native import check, ffi, lib, text_from
from bulkhead_kv.calls import Cancel, handle_of, in_thread, interruptibly
from bulkhead_kv.errors import UsageError, error_of
from bulkhead_kv.generation import GenerateOptions, Generation, Token, Usage, generation_of

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

OnToken = Callable[[Token], object]


class ModelOptions(TypedDict, total=False):
    """Fields and defaults of the C++ ModelOptions (include/bulkhead/options.h)."""

    engine: str
    """"llama" (the default), "transformers", "mlx" or "fake"."""
    grade: Literal["buffer", "mask", "process"]
    """What separates partitions: buffers of their own (the default), a mask, or processes."""
    isolation: Literal["auto", "strict", "fast"]
    """strict: no bit depends on other partitions, or the model is refused."""
    context_tokens: int
    """Most tokens of one partition; 0: what the model allows, 4,096 at most."""
    threads: int
    """0: one per physical core."""
    gpu_layers: int
    flash_attention: bool
    full_window_cache: bool
    dtype: str
    kv_type_k: str
    kv_type_v: str
    kernels: str
    keep_packed: bool
    clock: str
    guard: Literal["none", "pages", "poison"]


@dataclass(frozen=True)
class Message:
    """The finished output of one partition, with its provenance: the one thing that another may receive.

    Only Partition.last_output() makes one: who holds it cannot have made up its text.
    """

    text: str
    sender: str
    label: str
    sha256: str
    _handle: Any

    def __str__(self) -> str:
        return self.text


class _Listening:
    """Tells Python of tokens. An exception of the listener stops its generation and is raised when the call ends."""

    def __init__(self, on_token: Callable[[int, Token], object], count: int) -> None:
        self._on_token = on_token
        self._decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(count)]
        self.error: BaseException | None = None
        self.user = ffi.new_handle(self)

    def hear(self, which: int, token: int, index: int, piece: bytes) -> bool:
        """False: this generation is to stop."""
        try:
            return self._on_token(which, Token(token, index, self._decoders[which].decode(piece))) is not False
        except BaseException as error:
            self.error = self.error or error
            return False


@ffi.callback("int(void*, size_t, int32_t, uint32_t, const char*, size_t)", error=1)  # type: ignore[untyped-decorator]
def _hear(user: Any, which: int, token: int, index: int, piece: Any, size: int) -> int:
    listening = cast(_Listening, ffi.from_handle(user))
    return 0 if listening.hear(which, token, index, bytes(ffi.buffer(piece, size))) else 1


class _Closable:
    """Something of the library that is let go by close(), by the end of a `with` block, or with its last reference."""

    _handle: Any
    _what: str

    def _live(self) -> Any:
        if self._handle is None:
            raise UsageError("usage", f"the {self._what} is closed", exit_code=2)
        return self._handle

    def close(self) -> None:
        """Lets it go as soon as no call uses it any more."""
        self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Model(_Closable):
    """Loaded weights; they stay in memory until the last partition is closed, too.

    `path`: a GGUF file, or the name of a pulled model (bulkhead_kv.pull, `bulkhead models`).
    """

    def __init__(self, path: str, **options: Unpack[ModelOptions]) -> None:
        out = ffi.new("bulkhead_model**")
        document = json.dumps({"path": path, **options}).encode()
        cancel = Cancel()  # loading cannot be cancelled; Ctrl-C is raised when it is done
        interruptibly(lambda: check(lib.bulkhead_model_load(document, out)), cancel)
        self._handle = ffi.gc(out[0], lib.bulkhead_model_free)
        self._what = "model"

    def _info(self) -> dict[str, str]:
        handle = self._live()
        return cast(dict[str, str], json.loads(text_from(lambda text: lib.bulkhead_model_info(handle, text))))

    @property
    def description(self) -> str:
        """The model and its engine in words."""
        return self._info()["description"]

    @property
    def grade(self) -> str:
        """What separates its partitions: "buffer", "mask", "process" or "claimed"."""
        return self._info()["grade"]

    def open(self, name: str, *, owner: str = "", capacity_tokens: int = 0) -> Partition:
        """An empty partition. UsageError: the name is taken; ResourceError: memory or the owner's budget is used up."""
        out = ffi.new("bulkhead_partition**")
        options = json.dumps({"owner": owner, "capacity_tokens": capacity_tokens}).encode()
        check(lib.bulkhead_partition_open(self._live(), name.encode(), options, out))
        return Partition(self, name, out[0])

    def set_budget(self, owner: str, *, kv_bytes: int = 0, partitions: int = 0, calls: int = 0) -> None:
        """What an owner may have at a time; 0: no limit."""
        budget = json.dumps({"kv_bytes": kv_bytes, "partitions": partitions, "calls": calls}).encode()
        check(lib.bulkhead_model_set_budget(self._live(), owner.encode(), budget))

    def park(self) -> int:
        """Turns the cells of all idle partitions into bytes, which come back, bit for bit, with the next call."""
        return int(lib.bulkhead_model_park(self._live()))

    def generate(
        self,
        partitions: Sequence[Partition],
        options: Sequence[GenerateOptions] | None = None,
        *,
        on_token: Callable[[int, Token], object] | None = None,
        cancel: Cancel | None = None,
        **common: Unpack[GenerateOptions],
    ) -> list[Generation]:
        """Generates for several partitions in one batch; results in their order.

        `options`: one for each partition, over `common`. `on_token` gets the place in `partitions` and the token; False
        stops that generation. The first failure is raised when all have ended; the others are in their partitions.
        """
        cancel = cancel or Cancel()
        results = interruptibly(lambda: self._generate(partitions, options, on_token, cancel, common), cancel)
        generations = []
        for result in results:
            if "error" in result:
                raise error_of(**result["error"])
            generations.append(generation_of(result["generation"]))
        return generations

    def _generate(
        self,
        partitions: Sequence[Partition],
        options: Sequence[GenerateOptions] | None,
        on_token: Callable[[int, Token], object] | None,
        cancel: Cancel,
        common: GenerateOptions,
    ) -> list[dict[str, Any]]:
        handles = [partition._live() for partition in partitions]
        count = len(handles)
        document = json.dumps([{**common, **one} for one in options] if options is not None else dict(common)).encode()
        cancels = ffi.new("bulkhead_cancel*[]", [handle_of(cancel)] * count)
        array = ffi.new("bulkhead_partition*[]", handles)
        listening = None if on_token is None else _Listening(on_token, count)
        hear, user = (ffi.NULL, ffi.NULL) if listening is None else (_hear, listening.user)
        model = self._live()
        said = text_from(lambda text: lib.bulkhead_model_generate(model, array, count, document, hear, user, cancels, text))
        if listening is not None and listening.error is not None:
            raise listening.error
        return cast(list[dict[str, Any]], json.loads(said))


class Partition(_Closable):
    """One isolated KV cache, opened by Model.open() or Partition.fork(). Closing gives its memory back."""

    def __init__(self, model: Model, name: str, handle: Any) -> None:
        self._model = model
        self._name = name
        self._handle = ffi.gc(handle, lib.bulkhead_partition_free)
        self._what = f"partition {name!r}"

    @property
    def name(self) -> str:
        return self._name

    @property
    def model(self) -> Model:
        return self._model

    def __repr__(self) -> str:
        return f"<Partition {self._name!r}{' closed' if self._handle is None else ''}>"

    # ---- what it reads

    def _prefill(self, text: str, cancel: Cancel) -> None:
        data = text.encode()
        check(lib.bulkhead_partition_prefill(self._live(), data, len(data), handle_of(cancel)))

    def _receive(self, message: Message, cancel: Cancel) -> None:
        check(lib.bulkhead_partition_receive(self._live(), message._handle, handle_of(cancel)))

    def _chat(self, role: str, content: str, cancel: Cancel) -> None:
        data = content.encode()
        check(lib.bulkhead_partition_chat(self._live(), role.encode(), data, len(data), handle_of(cancel)))

    def prefill(self, text: str, *, cancel: Cancel | None = None) -> None:
        """Appends plain content: nothing in it can become a control token."""
        cancel = cancel or Cancel()
        interruptibly(lambda: self._prefill(text, cancel), cancel)

    def receive(self, message: Message, *, cancel: Cancel | None = None) -> None:
        """Appends the text of a message and notes where it came from."""
        cancel = cancel or Cancel()
        interruptibly(lambda: self._receive(message, cancel), cancel)

    def chat(self, role: str, content: str, *, cancel: Cancel | None = None) -> None:
        """Appends one chat turn by the model's own template, and opens the assistant's turn behind one of "user"."""
        cancel = cancel or Cancel()
        interruptibly(lambda: self._chat(role, content, cancel), cancel)

    async def aprefill(self, text: str, *, cancel: Cancel | None = None) -> None:
        """prefill() for tasks: cancelling the task cancels it."""
        cancel = cancel or Cancel()
        await in_thread(lambda: self._prefill(text, cancel), cancel)

    async def areceive(self, message: Message, *, cancel: Cancel | None = None) -> None:
        """receive() for tasks."""
        cancel = cancel or Cancel()
        await in_thread(lambda: self._receive(message, cancel), cancel)

    async def achat(self, role: str, content: str, *, cancel: Cancel | None = None) -> None:
        """chat() for tasks."""
        cancel = cancel or Cancel()
        await in_thread(lambda: self._chat(role, content, cancel), cancel)

    # ---- what it writes

    def generate(self, *, on_token: OnToken | None = None, cancel: Cancel | None = None, **options: Unpack[GenerateOptions]) -> Generation:
        """Goes on from what the partition holds. `on_token` returns False to stop behind that token."""
        tell = None if on_token is None else lambda _, token: on_token(token)
        return self._model.generate([self], on_token=tell, cancel=cancel, **options)[0]

    async def agenerate(self, *, on_token: OnToken | None = None, cancel: Cancel | None = None, **options: Unpack[GenerateOptions]) -> Generation:
        """generate() for tasks; many at the same time are computed together. `on_token` is called in another thread."""
        cancel = cancel or Cancel()
        return await in_thread(lambda: self.generate(on_token=on_token, cancel=cancel, **options), cancel)

    def stream(self, *, cancel: Cancel | None = None, **options: Unpack[GenerateOptions]) -> Iterator[Token]:
        """The tokens as they are drawn. Leaving the loop early cancels the rest and waits for it to end."""
        cancel = cancel or Cancel()
        queue: SimpleQueue[Token | BaseException | None] = SimpleQueue()

        def work() -> None:
            try:
                self.generate(on_token=queue.put, cancel=cancel, **options)
                queue.put(None)
            except BaseException as error:
                queue.put(error)

        thread = Thread(target=work, name="bulkhead", daemon=True)
        thread.start()
        try:
            while (told := queue.get()) is not None:
                if isinstance(told, BaseException):
                    raise told
                yield told
        finally:
            cancel.request()
            thread.join()

    async def astream(self, *, cancel: Cancel | None = None, **options: Unpack[GenerateOptions]) -> AsyncIterator[Token]:
        """The tokens as they are drawn, for `async for`."""
        cancel = cancel or Cancel()
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Token | None] = asyncio.Queue()

        def tell(token: Token | None) -> None:
            loop.call_soon_threadsafe(queue.put_nowait, token)

        async def work() -> None:
            try:
                await in_thread(lambda: self.generate(on_token=tell, cancel=cancel, **options), cancel)
            finally:
                tell(None)  # behind all tokens, which were told the same way

        task = asyncio.create_task(work())
        try:
            while (token := await queue.get()) is not None:
                yield token
            await task
        finally:
            cancel.request()
            await asyncio.gather(task, return_exceptions=True)

    # ---- what it is

    def last_output(self, label: str = "") -> Message:
        """The finished output. BadInputError: it was cancelled, there is none, or something was appended since."""
        out = ffi.new("bulkhead_message**")
        check(lib.bulkhead_partition_last_output(self._live(), label.encode(), out))
        handle = ffi.gc(out[0], lib.bulkhead_message_free)
        shown = json.loads(text_from(lambda text: lib.bulkhead_message_show(handle, text)))
        return Message(shown["text"], shown["from"], shown["label"], shown["sha256"], handle)

    def fork(self, name: str) -> Partition:
        """A new partition of the same owner that starts as an exact copy; both go on apart."""
        out = ffi.new("bulkhead_partition**")
        check(lib.bulkhead_partition_fork(self._live(), name.encode(), out))
        return Partition(self._model, name, out[0])

    def truncate(self, tokens: int) -> None:
        """Keeps the first `tokens` tokens, as if nothing had come behind them."""
        check(lib.bulkhead_partition_truncate(self._live(), tokens))

    @property
    def usage(self) -> Usage:
        handle = self._live()
        return Usage(**json.loads(text_from(lambda text: lib.bulkhead_partition_usage(handle, text))))

    @property
    def text(self) -> str:
        """All that it holds, control tokens as the model spells them."""
        handle = self._live()
        return text_from(lambda text: lib.bulkhead_partition_text(handle, text)).decode("utf-8", "replace")
