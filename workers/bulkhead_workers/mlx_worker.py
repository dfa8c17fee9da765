# SPDX-License-Identifier: MIT
"""mlx_lm as an engine. Run as: python -m bulkhead_workers.mlx_worker

It speaks the worker protocol on stdin and stdout, and answers the handshake before it imports anything heavy.
"""

from __future__ import annotations

import os

from .errors import SeamError
from .protocol import Engine, Head, path_of, serve

# A worker computes; it fetches nothing and draws no progress bars.
os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"})


def load(options: Head) -> Engine:
    if int(options["threads"]) > 0:
        os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(options["threads"])
    from .engine import SequenceEngine, check_fixed, check_options
    from .mlx_network import MlxNetwork

    check_options(options)
    check_fixed(options, "mlx_lm")
    path = path_of(options["path"])
    if path.is_file():
        raise SeamError("unsupported", "mlx_lm reads no GGUF", str(path), "make a folder of it with bulkhead convert")
    if not path.exists():
        raise SeamError("usage", "there is no such folder", str(path))
    return SequenceEngine(MlxNetwork(path, options), options)


if __name__ == "__main__":
    serve(load)
