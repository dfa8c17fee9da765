# SPDX-License-Identifier: MIT
"""Hugging Face Transformers as an engine. Run as: python -m bulkhead_workers.transformers_worker

It speaks the worker protocol on stdin and stdout, and answers the handshake before it imports anything heavy.
"""

from __future__ import annotations

import os

from .errors import SeamError
from .protocol import Engine, Head, path_of, serve

# A worker computes; it fetches nothing and draws no progress bars.
os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "HF_HUB_DISABLE_PROGRESS_BARS": "1"})


def load(options: Head) -> Engine:
    from transformers.utils import logging

    from .engine import SequenceEngine, check_options
    from .transformers_network import TransformersNetwork

    logging.disable_progress_bar()
    check_options(options)
    path = path_of(options["path"])
    if not path.exists():
        raise SeamError("usage", "there is no such file or folder", str(path))
    return SequenceEngine(TransformersNetwork(path, options), options)


if __name__ == "__main__":
    serve(load)
