# SPDX-License-Identifier: MIT
"""Engines of Bulkhead in Python: Hugging Face Transformers and mlx_lm behind the worker protocol (docs/worker-protocol.md)."""
