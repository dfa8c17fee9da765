# SPDX-License-Identifier: MIT
"""The text of one generation (src/engine/generation.h): stop strings that may span tokens, and valid UTF-8."""

from __future__ import annotations

import codecs


class GeneratedText:
    def __init__(self, stops: list[bytes]) -> None:
        self._stops = stops
        self._longest = max((len(stop) for stop in stops), default=0)
        self._bytes = bytearray()

    def append(self, piece: bytes) -> bool:
        """Adds the bytes of a token. True as soon as the text contains a stop string, which is cut off; call no more after that."""
        begin = max(0, len(self._bytes) - self._longest + 1)
        self._bytes += piece
        found = [place for stop in self._stops if (place := self._bytes.find(stop, begin)) >= 0]
        if not found:
            return False
        del self._bytes[min(found) :]
        return True

    def text(self) -> str:
        """A character cut off at the end is dropped, every other invalid byte becomes U+FFFD."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="bulkhead-each-byte")
        return decoder.decode(bytes(self._bytes))


def _each_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\ufffd", error.start + 1


codecs.register_error("bulkhead-each-byte", _each_byte)
