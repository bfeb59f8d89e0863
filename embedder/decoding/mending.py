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
"""Who knows the formats, by what their files begin with."""


def mended(data: bytes) -> Mended | None:
    """Return a file without what may have kept a decoder from it; None where nothing can be done."""
    return next((mend(data) for start, mend in MENDERS.items() if data.startswith(start)), None)


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
