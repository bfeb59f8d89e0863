"""The pixels of a JPEG, and a refusal where Pillow would guess.

libjpeg fills what it cannot decode with grey and counts that as a warning, which Pillow does not pass on: a
JPEG with a hole in it looks whole. Here a warning about the data is an error. The decoder is the one that
Pillow uses, libjpeg-turbo, and so are the pixels.
"""

from __future__ import annotations

import re

import numpy as np
import simplejpeg
from PIL import Image

from embedder.decoding import refusals, segments
from embedder.records import Pixels

SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}

UNUSUAL = re.compile(r"unknown (JFIF revision|Adobe color transform)")
"""Warnings about a header that says something odd; the picture is decoded all the same."""

EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
"""Data left over behind the last pixel: the decoder went astray somewhere, unless they are padding."""

LEFT_OVER = re.compile(r"extraneous bytes before marker")
"""What libjpeg says of a file whose picture is shorter than its data."""


def decode(data: bytes, image: Image.Image, *, partial: bool = False) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the decoded picture of a JPEG, and what was tolerated.

    Args:
        data: the file.
        image: the same file as Pillow opened it, perhaps told by `draft` to be smaller.
        partial: whether grey may stand where data is missing or damaged, if the first rows are there.

    Raises:
        ImageError: data is missing or damaged.
    """
    try:
        full = simplejpeg.decode_jpeg_header(data)[0]
    except ValueError:
        image.load()  # a rare subsampling, which only Pillow knows
        return image, ()
    notices: tuple[str, ...] = ()
    try:
        pixels = _decode(data, image, full, strict=True)
    except ValueError as error:
        notices = _tolerated(data, str(error), partial=partial)
        pixels = _decode(data, image, full, strict=False)
    if image.mode == "CMYK":
        np.invert(pixels, out=pixels)  # who writes CMYK writes it inverted, as Adobe does
    return Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels, image.mode), notices


def _decode(data: bytes, image: Image.Image, full_height: int, *, strict: bool) -> Pixels:
    width, height = image.size
    pixels: Pixels = simplejpeg.decode_jpeg(
        data,
        SPACES[image.mode],
        min_height=height,
        min_width=width,
        min_factor=1 << ((full_height - 1) // height).bit_length(),  # 1, 2, 4 or 8, never one between
        strict=strict,
    )
    return pixels


def _tolerated(data: bytes, warning: str, *, partial: bool) -> tuple[str, ...]:
    """What a warning of the decoder is called where it does no harm.

    Raises:
        ImageError: it does.
    """
    if UNUSUAL.search(warning):
        return ("OddHeader",)
    found = EXTRANEOUS.search(warning)
    if found is not None and bytes(int(found[1])) + segments.EOI in data:
        return ("Padding",)
    if partial and _has_first_rows(data):
        return ("Damaged",)
    raise refusals.unreadable(data, OSError(warning))


def _has_first_rows(data: bytes) -> bool:
    """Whether the first row of blocks is whole: a picture of that row alone lacks nothing."""
    rows = segments.first_rows(data)
    if rows is None:
        return False
    try:
        simplejpeg.decode_jpeg(rows)
    except ValueError as error:
        return LEFT_OVER.search(str(error)) is not None
    return True
