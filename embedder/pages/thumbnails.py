"""Small square pictures of stored images, upright, decoded as for the model: in processes of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from embedder.config import DEFAULT_MAX_PIXELS
from embedder.decoding.processes import IsolatedDecoder
from embedder.errors import ConfigurationError, ImageError
from embedder.records import Pixels, Preprocessing, Reference, VectorInfo
from embedder.sources import S3_SCHEME, Readers
from embedder.sources.folder import FILE_SCHEME, file_uri
from embedder.system.cores import usable_cores
from embedder.system.threads import parallel_map

WAITING = 4
"""Threads besides one for each core: while some wait for a file or an object, the others decode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A picture, or why there is none."""

    image_id: str
    pixels: Pixels | None  # (side, side, 3) uint8, RGB: the middle of the upright image
    reason: str = ""


def locate(stored: Iterable[VectorInfo], root: str | None) -> list[Reference]:
    """Say where each stored image lies: below `root`, a folder or an S3 prefix, else where it was embedded from.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if root is not None and not root.startswith(S3_SCHEME) and not Path(root).is_dir():
        raise ConfigurationError(f"--images {root}: there is no such folder; name the one that was embedded")
    return [Reference(image_id=each.image_id, uri=_uri(each, root)) for each in stored]


def _uri(stored: VectorInfo, root: str | None) -> str:
    if root is None and stored.source.startswith((S3_SCHEME, FILE_SCHEME)):
        return stored.source
    if root is not None and root.startswith(S3_SCHEME):
        return f"{root.rstrip('/')}/{stored.image_id}"
    below = stored.image_id.lstrip("/")  # a key may begin with one, and is no path from the top
    return file_uri(Path(root or ".") / below) if _is_below(below) else ""


def _is_below(path: str) -> bool:
    return "\0" not in path and ".." not in os.path.normpath(path).split("/")


def thumbnails(references: Sequence[Reference], side: int) -> Iterator[Thumbnail]:
    """Yield a picture of every image, `side` pixels wide and high, in any order.

    Raises:
        ConfigurationError, TransientError: S3 as a whole cannot be read.
    """
    preprocessing = Preprocessing(resize=side, crop=side, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))
    large = threading.Lock()

    @contextmanager
    def alone(_size: int) -> Iterator[None]:
        with large:
            yield

    decoder = IsolatedDecoder(preprocessing, max_pixels=DEFAULT_MAX_PIXELS, reserve=alone)
    readers = Readers(threading.Event())

    def make(reference: Reference) -> Thumbnail:
        try:
            if not reference.uri:
                raise ImageError("Unreadable", "its id is no path below a folder")
            return Thumbnail(image_id=reference.image_id, pixels=decoder.decode(readers.read(reference).data).pixels)
        except ImageError as error:
            return Thumbnail(image_id=reference.image_id, pixels=None, reason=error.message)

    workers = usable_cores() + WAITING
    try:
        yield from parallel_map(make, references, workers=workers, depth=lambda: 4 * workers, name="thumbnails")
    finally:
        decoder.close()
        readers.close()
