"""Small square pictures of stored images, upright, decoded as for the model: in processes of their own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.config import RunOptions
from embedder.decoding.processes import IsolatedDecoder
from embedder.errors import ConfigurationError, ImageError
from embedder.models.catalog import Preprocessing
from embedder.records import Pixels, Reference, Sample, VectorInfo
from embedder.sources import S3_SCHEME
from embedder.sources.folder import FILE_SCHEME, file_uri, read_file
from embedder.system.cores import usable_cores
from embedder.system.threads import parallel_map

if TYPE_CHECKING:
    from embedder.sources.bucket import S3Reader

MAX_PIXELS = RunOptions().max_pixels


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

    decoder = IsolatedDecoder(preprocessing, max_pixels=MAX_PIXELS, reserve=alone)
    reader = _Reader(references)

    def make(reference: Reference) -> Thumbnail:
        try:
            return Thumbnail(image_id=reference.image_id, pixels=decoder.decode(reader.read(reference).data).pixels)
        except ImageError as error:
            return Thumbnail(image_id=reference.image_id, pixels=None, reason=error.message)

    workers = usable_cores() + (4 if reader.objects else 0)
    try:
        yield from parallel_map(make, references, workers=workers, depth=lambda: 4 * workers, name="thumbnails")
    finally:
        decoder.close()
        reader.close()


class _Reader:
    """Reads files, and objects where there are any."""

    def __init__(self, references: Sequence[Reference]) -> None:
        self.objects: S3Reader | None = None
        if any(each.uri.startswith(S3_SCHEME) for each in references):
            from embedder.sources import bucket  # brings boto3, which a folder does not need

            self.objects = bucket.S3Reader(threading.Event())

    def read(self, reference: Reference) -> Sample:
        if self.objects and reference.uri.startswith(S3_SCHEME):
            return self.objects.read(reference)
        if not reference.uri:
            raise ImageError("Unreadable", "its id is no path below a folder")
        return read_file(reference)

    def close(self) -> None:
        if self.objects:
            self.objects.close()
