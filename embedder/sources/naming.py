"""What an image is called in the store, and what counts as an image by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from embedder.config import ImageIdMode
from embedder.errors import ConfigurationError
from embedder.records import Failure, Reference


def image_id(mode: ImageIdMode, *, key: str, uri: str) -> str:
    """Return the id of the image with this key (or path within its folder) and URI."""
    match mode:
        case "key":
            return key
        case "uri":
            return uri
        case "stem":
            return PurePosixPath(key).stem


def suffix(key: str) -> str:
    """`a/B.JPG` → `.jpg`, which is shown to people; what would move their cursor is not."""
    found = PurePosixPath(key).suffix.lower() or "(no suffix)"
    return found if found.isprintable() else "(unprintable suffix)"


def unique_stems(references: Iterator[Reference | Failure]) -> Iterator[Reference | Failure]:
    """List everything before the first is yielded, and refuse two images of one name.

    Raises:
        ConfigurationError: two images have the same id.
    """
    found: dict[str, Reference | Failure] = {}
    for item in references:
        if (other := found.setdefault(item.image_id, item)) is not item:
            first, second = (getattr(each, "uri", each.image_id) for each in (other, item))
            raise ConfigurationError(
                f"--image-id stem: {first} and {second} would both be called {item.image_id!r}; use key or uri"
            )
    return iter(found.values())
