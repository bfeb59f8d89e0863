"""Derives an image's id and suffix from its key or path."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import PurePosixPath
from types import TracebackType
from typing import Literal, Self

from embedder.errors import ConfigurationError
from embedder.options import ImageIdMode
from embedder.records import Failure, Reference


def image_id(mode: ImageIdMode, *, key: str, uri: str) -> str:
    """Return an image's id.

    Args:
        key: the image's key in S3, or its path within the folder.
    """
    match mode:
        case "key":
            return key
        case "uri":
            return uri
        case "stem":
            return PurePosixPath(key).stem


def suffix(key: str) -> str:
    """Return a key's suffix for people to read: `a/B.JPG` → `.jpg`. Unprintable suffixes are replaced."""
    found = PurePosixPath(key).suffix.lower() or "(no suffix)"
    return found if found.isprintable() else "(unprintable suffix)"


def unique_stems(references: Iterator[Reference | Failure]) -> Iterator[Reference | Failure]:
    """List everything, refuse two images with one id, and then yield the images.

    Raises:
        ConfigurationError: two images have the same id.
    """
    found: dict[str, Reference | Failure] = {}
    for item in references:
        if (other := found.setdefault(item.image_id, item)) is not item:
            first, second = (getattr(each, "uri", each.image_id) for each in (other, item))
            raise ConfigurationError(
                f"--image-id stem: {first} and {second} would both have the id {item.image_id!r}; use key or uri"
            )
    return iter(found.values())


# submitter.seen has the same class, since neither program imports the other, and since what both share, in
# submitter.manifest, is the format of a run and not the memory of a listing.
class Seen:
    """The ids and addresses that a listing has yielded: on a disk where they are many, so that memory is bounded."""

    def __init__(self) -> None:
        self.rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)  # a temporary file of SQLite's
        self.rows.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, uri BLOB) WITHOUT ROWID")
        self.rows.execute("BEGIN")

    def before(self, identity: str, uri: str) -> Literal["nothing", "same", "other"]:
        """Note an image, and say what was noted under its id before: nothing, the same address, or another one."""
        key, address = (hashlib.blake2b(each.encode(), digest_size=16).digest() for each in (identity, uri))
        if self.rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, address)).rowcount:
            return "nothing"
        (found,) = self.rows.execute("SELECT uri FROM seen WHERE id = ?", (key,)).fetchone()
        return "same" if found == address else "other"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.rows.close()
