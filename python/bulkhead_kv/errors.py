# SPDX-License-Identifier: MIT
"""What went wrong, where, and what to do about it."""

from __future__ import annotations


class BulkheadError(Exception):
    """A call that failed. Its subclasses say of what kind the failure is.

    Attributes:
        code: the kind in one word, such as "bad_input".
        message: what is wrong, with the value and the limit.
        place: field, partition, file or flag; may be empty.
        advice: what to do; may be empty.
        exit_code: with which a program that fails so ends.
    """

    def __init__(self, code: str, message: str, place: str = "", advice: str = "", exit_code: int = 1) -> None:
        said = f"{place}: {message}" if place else message
        super().__init__(f"{said} ({advice})" if advice else said)
        self.code = code
        self.message = message
        self.place = place
        self.advice = advice
        self.exit_code = exit_code


class InternalError(BulkheadError):
    """A defect of Bulkhead."""


class UsageError(BulkheadError):
    """A value outside its range, an unknown name, a handle that is closed."""


class BadInputError(BulkheadError):
    """An option, scenario, grammar or text that breaks its rules."""


class CorruptError(BulkheadError):
    """A damaged or incompatible file."""


class ResourceError(BulkheadError):
    """Memory, disk, a budget or the context is used up."""


class RemoteError(BulkheadError):
    """A worker process or the network failed."""


class InterferenceError(BulkheadError):
    """Isolation was tested and refuted."""


class IncompleteError(BulkheadError):
    """A run or a gate did not finish."""


class InterruptedCallError(BulkheadError):
    """The call was cancelled before it was done; the partition is as it was."""


class UnsupportedError(BulkheadError):
    """This engine or model cannot do it."""


class ClosedError(BulkheadError):
    """The partition was poisoned by an earlier failure."""


_BY_CODE: dict[str, type[BulkheadError]] = {
    "internal": InternalError,
    "usage": UsageError,
    "bad_input": BadInputError,
    "corrupt": CorruptError,
    "resource": ResourceError,
    "remote": RemoteError,
    "interference": InterferenceError,
    "incomplete": IncompleteError,
    "interrupted": InterruptedCallError,
    "unsupported": UnsupportedError,
    "closed": ClosedError,
}

_BY_EXIT_CODE: dict[int, str] = {
    2: "usage",
    3: "bad_input",
    4: "corrupt",
    5: "resource",
    6: "remote",
    7: "interference",
    8: "incomplete",
    130: "interrupted",
}


def error_of(code: str, message: str, place: str = "", advice: str = "", exit_code: int = 1) -> BulkheadError:
    """The exception that stands for `code`."""
    return _BY_CODE.get(code, InternalError)(code, message, place, advice, exit_code)


def error_of_exit_code(exit_code: int, message: str) -> BulkheadError:
    """The exception that stands for how the program ended."""
    return error_of(_BY_EXIT_CODE.get(exit_code, "internal"), message, exit_code=exit_code)
