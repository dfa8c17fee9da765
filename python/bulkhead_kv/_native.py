# SPDX-License-Identifier: MIT
"""libbulkhead through its C interface. The declarations are those of the header, which lies beside the library."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cffi import FFI

from bulkhead_kv.errors import error_of

_HERE = Path(__file__).parent


def _declarations(header: str) -> str:
    """What a C compiler would keep of the header, without what only C++ reads."""
    lines = [line for line in header.splitlines() if not line.startswith("#")]
    plain = "\n".join(lines).replace("BULKHEAD_API ", "")
    before, _, inside = plain.partition('extern "C" {')
    return before + inside.rpartition("}")[0]


def _library_path() -> str:
    """Beside this file in a wheel; elsewhere where BULKHEAD_LIBRARY says."""
    named = os.environ.get("BULKHEAD_LIBRARY")
    if named:
        return named
    name = "libbulkhead.dylib" if sys.platform == "darwin" else "libbulkhead.so"
    return str(_HERE / name)


ffi: Any = FFI()
ffi.cdef(_declarations((_HERE / "c.h").read_text(encoding="utf-8")))
lib: Any = ffi.dlopen(_library_path())


def check(error: Any) -> None:
    """Raises what a call of the library came back with, if that is an error, and frees it."""
    if error == ffi.NULL:
        return
    try:
        code, message, place, advice = (
            ffi.string(part(error)).decode("utf-8", "replace")
            for part in (lib.bulkhead_error_code, lib.bulkhead_error_message, lib.bulkhead_error_place, lib.bulkhead_error_advice)
        )
        raise error_of(code, message, place, advice, lib.bulkhead_error_exit_code(error))
    finally:
        lib.bulkhead_error_free(error)


def text_from(call: Callable[[Any], Any]) -> bytes:
    """The bytes that `call` writes into the bulkhead_text it is handed."""
    text = ffi.new("bulkhead_text*")
    check(call(text))
    try:
        return bytes(ffi.buffer(text.data, text.size))
    finally:
        lib.bulkhead_text_free(text)


def version() -> str:
    """Of the library that runs."""
    return str(ffi.string(lib.bulkhead_version()).decode())
