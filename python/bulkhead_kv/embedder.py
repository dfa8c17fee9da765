# SPDX-License-Identifier: MIT
"""What a text is about, as a vector."""

from __future__ import annotations

from bulkhead_kv._native import check, ffi, lib


class Embedder:
    """A loaded embedding model: a GGUF file, or the name of a pulled one. Any thread may call it."""

    def __init__(self, model: str, threads: int = 0) -> None:
        out = ffi.new("bulkhead_embedder**")
        check(lib.bulkhead_embedder_load(model.encode(), threads, out))
        self._handle = ffi.gc(out[0], lib.bulkhead_embedder_free)

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return int(lib.bulkhead_embedder_dimensions(self._handle))

    def embed(self, text: str) -> list[float]:
        """A vector of length 1: the product of two of them is their cosine. Nothing is kept of the text."""
        values = ffi.new("float[]", self.dimensions)
        data = text.encode()
        check(lib.bulkhead_embedder_embed(self._handle, data, len(data), values, self.dimensions))
        return list(values)
