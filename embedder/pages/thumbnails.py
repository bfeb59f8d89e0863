"""Small pictures of stored images, upright, decoded as for the model: in processes of their own."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from embedder.decoding.processes import IsolatedDecoder
from embedder.errors import ConfigurationError, ImageError
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels, Preprocessing, Reference, VectorInfo
from embedder.sources import READERS, S3_SCHEME, Readers
from embedder.sources.folder import file_uri
from embedder.system.cores import usable_cores
from embedder.system.doors import scheme_of
from embedder.system.steps import step
from embedder.system.threads import Budget, parallel_map

WAITING = 4
"""Threads besides one for each core: while some wait for a file or an object, the others decode."""

WIDEST = 16 / 9
"""Of a preview: what is wider or higher loses its ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thumbnail:
    """A small picture and what is known of the file, or why there is none."""

    image_id: str
    pixels: Pixels | None  # (side, side, 3) uint8, RGB: the middle of the upright image
    preview: Pixels | None = None  # (height, width, 3) uint8, RGB: the whole, where previews were asked for
    width: int = 0
    """Of the upright image, in pixels; 0 where it is not known."""
    height: int = 0
    bytes: int = 0
    """Of the file; 0 where it is not known."""
    format: str = ""
    """Pillow's name, for example `JPEG`."""
    modified: str = ""
    """The day on which a local file was written last, ISO 8601; empty of objects in a bucket."""
    reason: str = ""


def locate(stored: Iterable[VectorInfo], root: str | None) -> list[Reference]:
    """Say where each stored image lies: below `root`, a folder or an S3 prefix, or else where it was embedded from.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if root is not None and not root.startswith(S3_SCHEME) and not Path(root).is_dir():
        raise ConfigurationError(f"--images {root}: there is no such folder; name the one that was embedded")
    return [Reference(image_id=each.image_id, uri=_uri(each, root), modified=each.modified) for each in stored]


def _uri(stored: VectorInfo, root: str | None) -> str:
    if root is None and scheme_of(stored.source) in READERS:
        return stored.source
    if root is not None and root.startswith(S3_SCHEME):
        return f"{root.rstrip('/')}/{stored.image_id}"
    below = stored.image_id.lstrip("/")  # a key may begin with one and is still not a path from the root
    return file_uri(Path(root or ".") / below) if _is_below(below) else ""


def _is_below(path: str) -> bool:
    return "\0" not in path and ".." not in os.path.normpath(path).split("/")


def thumbnails(references: Sequence[Reference], side: int, preview: int = 0) -> Iterator[Thumbnail]:
    """Yield a picture of every image, `side` pixels wide and high, in any order.

    Args:
        preview: pixels of the short side of a second picture, which shows the whole image; 0 for none.

    Raises:
        ConfigurationError, TransientError: S3 as a whole cannot be read.
    """
    short = preview or side
    # A frame larger than the resized image leaves black borders around the whole of it, which are cut off below.
    frame = round(short * WIDEST) if preview else side
    preprocessing = Preprocessing(resize=short, crop=frame, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))
    # Nothing asks for less than the budget, so large pictures are decoded one at a time.
    decoder = IsolatedDecoder(preprocessing, max_pixels=DEFAULT_MAX_PIXELS, reserve=Budget(1).reserve)
    readers = Readers(threading.Event())

    def make(reference: Reference) -> Thumbnail:
        data, modified = b"", ""
        try:
            if not reference.uri:
                raise ImageError("Unreadable", "its id is not a path below a folder")
            sample = readers.read(reference)
            data, modified = sample.data, _day(sample.reference.modified)
            decoded = decoder.decode(data)
        except ImageError as error:
            return Thumbnail(
                image_id=reference.image_id, pixels=None, bytes=len(data), modified=modified, reason=error.message
            )
        whole = _whole(decoded.pixels, short, decoded.width, decoded.height) if preview else None
        return Thumbnail(
            image_id=reference.image_id,
            pixels=decoded.pixels if whole is None else _square(whole, side),
            preview=whole,
            width=decoded.width,
            height=decoded.height,
            bytes=len(data),
            format=decoded.format,
            modified=modified,
        )

    workers = usable_cores() + WAITING
    made = parallel_map(make, references, workers=workers, depth=lambda: 4 * workers, name="thumbnails")
    try:
        with step("making thumbnails", total=len(references), unit="pictures") as advance:
            for each in made:
                advance(1)
                yield each
    finally:
        decoder.close()
        readers.close()


def as_stored(picture: Thumbnail, stored: VectorInfo) -> Thumbnail:
    """Return a picture with the metadata that the store has of it, if any, where the picture could not be made."""
    if not picture.reason:
        return picture
    return replace(
        picture,
        width=stored.width or 0,
        height=stored.height or 0,
        bytes=picture.bytes or stored.size or 0,
        format=stored.format or "",
    )


def _day(modified: str | None) -> str:
    """Return the day of a file's size and modification time, as `records.Reference` has them; empty without one."""
    found = re.match(r"\d+-(\d{15,})(?:@|\Z)", modified or "")
    return datetime.fromtimestamp(int(found[1]) / 1e9, UTC).date().isoformat() if found else ""


def _whole(framed: Pixels, short: int, width: int, height: int) -> Pixels:
    """Cut the borders off a picture in the middle of a larger square frame."""
    frame = len(framed)
    sides = [min(frame, short * each // min(width, height)) for each in (width, height)]
    left, top = (max(0, round((frame - each) / 2)) for each in sides)
    return framed[top : top + sides[1], left : left + sides[0]]


def _square(whole: Pixels, side: int) -> Pixels:
    """Shrink the middle of a picture to a square."""
    height, width = whole.shape[:2]
    short = min(height, width)
    left, top = (width - short) // 2, (height - short) // 2
    image = Image.fromarray(whole[top : top + short, left : left + short])
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))
