"""Images in, vectors out, every image accounted for.

from embedder import embed, read

report = embed("photos/", "vectors.db")
ids, vectors = read("vectors.db", prefix="cats/")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedder.errors import ConfigurationError, EmbedderError, TransientError
    from embedder.reader import read
    from embedder.report import Report
    from embedder.runner import embed

__all__ = ["ConfigurationError", "EmbedderError", "Report", "TransientError", "embed", "read"]
__version__ = "0.1.0"

_HOMES = {
    "ConfigurationError": "errors",
    "EmbedderError": "errors",
    "Report": "report",
    "TransientError": "errors",
    "embed": "runner",
    "read": "reader",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: reading needs no torch, and --help nothing at all."""
    if name not in _HOMES:
        raise AttributeError(f"module 'embedder' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"embedder.{_HOMES[name]}"), name)
