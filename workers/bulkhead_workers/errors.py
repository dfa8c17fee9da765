# SPDX-License-Identifier: MIT
"""Errors as the engine seam names them (include/bulkhead/error.h)."""

from __future__ import annotations


class SeamError(Exception):
    """A failure with the code that the seam gives it. `code`: "bad_input", "resource", "closed", ... (error.h has the list)."""

    def __init__(self, code: str, message: str, place: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.advice = advice

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "place": self.place, "advice": self.advice}


def closed(sequence: int) -> SeamError:
    return SeamError("closed", f"sequence {sequence} is not open")


def unsupported(place: str, message: str, advice: str = "") -> SeamError:
    return SeamError("unsupported", message, place, advice)
