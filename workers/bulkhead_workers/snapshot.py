# SPDX-License-Identifier: MIT
"""A sequence as plain bytes: the layout of src/engine/snapshot.h."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

import numpy as np
import xxhash

from .errors import SeamError

MAGIC = b"BHSNAP01"
DIGEST_BYTES = 16
Fit = dict[str, str]  # what must be the same where a snapshot is made and where it is restored, in a fixed order


@dataclass(frozen=True)
class Content:
    tokens: list[int]
    payload: memoryview


def pack(fit: Fit, tokens: list[int], payload: bytes) -> bytes:
    header = json.dumps({"fit": fit, "tokens": len(tokens)}).encode()
    body = MAGIC + struct.pack("<Q", len(header)) + header + np.asarray(tokens, dtype="<i4").tobytes() + payload
    return body + xxhash.xxh3_128_digest(body)


def damaged(what: str) -> SeamError:
    return SeamError("corrupt", f"the snapshot is damaged: {what}", "", "make it anew")


def unpack(snapshot: bytes, fit: Fit) -> Content:
    """`corrupt`: damaged, cut, or no snapshot; `bad_input`: it does not fit, and the message names the first field that differs."""
    if len(snapshot) < len(MAGIC) + 8 + DIGEST_BYTES:
        raise damaged(f"{len(snapshot)} bytes are too few")
    body = memoryview(snapshot)[:-DIGEST_BYTES]
    if xxhash.xxh3_128_digest(body) != snapshot[-DIGEST_BYTES:]:
        raise damaged(f"the digest of its {len(snapshot)} bytes is another than it says")
    if bytes(body[: len(MAGIC)]) != MAGIC:
        raise damaged("it does not begin as a snapshot of this version does")
    (header_bytes,) = struct.unpack_from("<Q", body, len(MAGIC))
    begin = len(MAGIC) + 8
    try:
        header = json.loads(bytes(body[begin : begin + header_bytes]))
        its_fit, count = dict(header["fit"]), int(header["tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged("it has no readable header") from error
    for field, here in fit.items():
        there = its_fit.get(field, "(nothing)")
        if there != here:
            message = f'the snapshot does not fit: its {field} is "{there}", here it is "{here}"'
            raise SeamError("bad_input", message, "", "restore it where it was made, with the same model and options")
    tokens_begin = begin + header_bytes
    payload_begin = tokens_begin + 4 * count
    if payload_begin > len(body):
        raise damaged("it is shorter than its header says")
    tokens = np.frombuffer(body[tokens_begin:payload_begin], dtype="<i4")
    return Content([int(token) for token in tokens], body[payload_begin:])
