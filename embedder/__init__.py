"""Turns images into vectors, and accounts for every image.

from embedder import embed, read, read_batches

report = embed("photos/", "vectors.db")
ids, vectors = read("vectors.db", prefix="cats/")
for ids, vectors in read_batches("vectors.db"):
    ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedder.errors import ConfigurationError, EmbedderError, TransientError
    from embedder.pipeline.report import Report
    from embedder.pipeline.session import Progress, embed
    from embedder.vectors.reader import read, read_batches

__all__ = [
    "ConfigurationError",
    "EmbedderError",
    "Progress",
    "Report",
    "TransientError",
    "embed",
    "read",
    "read_batches",
]
__version__ = "0.1.0"

_HOMES = {
    "ConfigurationError": "errors",
    "EmbedderError": "errors",
    "Progress": "pipeline.session",
    "Report": "pipeline.report",
    "TransientError": "errors",
    "embed": "pipeline.session",
    "read": "vectors.reader",
    "read_batches": "vectors.reader",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that reading needs no torch, and --help nothing at all."""
    if name not in _HOMES:
        raise AttributeError(f"module 'embedder' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"embedder.{_HOMES[name]}"), name)
