"""Turns images into vectors, and accounts for every image.

from embedder import Embedder, embed, read, similar

report = embed("photos/", "vectors.db")
ids, vectors = read("vectors.db", prefix="cats/")
similar("vectors.db", "cats/1.jpg")
with Embedder() as embedder:
    vectors = embedder([open("cats/1.jpg", "rb").read(), pil_image, array])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedder.errors import ConfigurationError, EmbedderError, ImageError, TransientError
    from embedder.pipeline.embedder import Embedder
    from embedder.pipeline.progress import Progress
    from embedder.pipeline.report import Report
    from embedder.pipeline.session import embed
    from embedder.records import Failure
    from embedder.results.duplicates import Duplicates, duplicates
    from embedder.results.gallery import Gallery, gallery
    from embedder.results.similar import Matches, similar
    from embedder.vectors.reader import read, read_batches
    from embedder.vectors.summary import Contents, info

__all__ = [
    "ConfigurationError",
    "Contents",
    "Duplicates",
    "Embedder",
    "EmbedderError",
    "Failure",
    "Gallery",
    "ImageError",
    "Matches",
    "Progress",
    "Report",
    "TransientError",
    "duplicates",
    "embed",
    "gallery",
    "info",
    "read",
    "read_batches",
    "similar",
]
__version__ = "0.1.0"

_HOMES = {
    "ConfigurationError": "errors",
    "Contents": "vectors.summary",
    "Duplicates": "results.duplicates",
    "Embedder": "pipeline.embedder",
    "EmbedderError": "errors",
    "Failure": "records",
    "Gallery": "results.gallery",
    "ImageError": "errors",
    "Matches": "results.similar",
    "Progress": "pipeline.progress",
    "Report": "pipeline.report",
    "TransientError": "errors",
    "duplicates": "results.duplicates",
    "embed": "pipeline.session",
    "gallery": "results.gallery",
    "info": "vectors.summary",
    "read": "vectors.reader",
    "read_batches": "vectors.reader",
    "similar": "results.similar",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that reading needs no torch, and --help nothing at all."""
    if name not in _HOMES:
        raise AttributeError(f"module 'embedder' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"embedder.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """List the public names, which are not imported yet."""
    return [*__all__, "__version__"]
