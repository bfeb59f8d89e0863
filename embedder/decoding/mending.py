"""Files that were refused although no pixel is damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from PIL import ImageFile

from embedder.decoding import png, segments, webp
from embedder.decoding.decoded import Mended

MENDERS: dict[bytes, Callable[[bytes], Mended | None]] = {
    segments.SOI: segments.mended,
    png.SIGNATURE: png.mended,
    b"RIFF": webp.mended,
}
"""The function that repairs each format, by the first bytes of its files."""


def mended(data: bytes) -> Mended | None:
    """Return a file without the parts that may have made a decoder refuse it; None if it cannot be repaired."""
    return next((mend(data) for start, mend in MENDERS.items() if data.startswith(start)), None)


def remains(data: bytes) -> bytes:
    """Return a file whose data is missing or damaged in a form that its decoder gets through."""
    return segments.remains(data) if data.startswith(segments.SOI) else data


@contextmanager
def truncated_images(wanted: bool) -> Iterator[None]:
    """Let Pillow keep the rows that it has decoded when data is missing or damaged, while the block lasts.

    Pillow knows this for all threads alone, so that it is for processes that decode one image after another.
    """
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = wanted or before
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
