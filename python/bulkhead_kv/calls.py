# SPDX-License-Identifier: MIT
"""Calls that may take long: stopped by a cancel, by Ctrl-C, or by the end of the task that waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from bulkhead_kv._native import ffi, lib

T = TypeVar("T")


class Cancel:
    """Stops the calls that are given it. Any thread may request it; once requested it stays so."""

    def __init__(self) -> None:
        self._handle = ffi.gc(lib.bulkhead_cancel_new(), lib.bulkhead_cancel_free)
        self._requested = False

    def request(self) -> None:
        """Those calls end within one step of the engine."""
        self._requested = True
        lib.bulkhead_cancel_request(self._handle)

    @property
    def requested(self) -> bool:
        return self._requested


def handle_of(cancel: Cancel | None) -> Any:
    return ffi.NULL if cancel is None else cancel._handle


class _Outcome(Generic[T]):
    """What a call in another thread gave or raised."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._value: list[T] = []
        self._error: BaseException | None = None

    def work(self) -> None:
        try:
            self._value.append(self._call())
        except BaseException as error:
            self._error = error

    def take(self) -> T:
        if self._error is not None:
            raise self._error
        return self._value[0]


def interruptibly(call: Callable[[], T], cancel: Cancel) -> T:
    """`call()`, which ends soon after `cancel`. Ctrl-C requests it, waits for the call to end, and is raised then.

    Python sees a signal between two steps of the main thread, so another thread waits inside the library.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    outcome = _Outcome(call)
    thread = threading.Thread(target=outcome.work, name="bulkhead", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.1)  # a signal that comes to another thread is seen then
    except BaseException:
        cancel.request()
        thread.join()
        raise
    return outcome.take()


async def in_thread(call: Callable[[], T], cancel: Cancel) -> T:
    """`call()` in a thread of its own: as many as are asked for wait in the engine together, not in a pool.

    When the waiting task is cancelled, so is the call, and the task ends when it has ended.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    outcome = _Outcome(call)

    def work() -> None:
        outcome.work()
        loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="bulkhead", daemon=True).start()
    try:
        await done.wait()
    except asyncio.CancelledError:
        cancel.request()
        await done.wait()
        raise
    return outcome.take()
