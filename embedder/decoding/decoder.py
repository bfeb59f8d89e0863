"""Image bytes to the pixels that the model sees.

The reference is torchvision's own preset on the upright RGB image: resize the short side, crop the
centre. Ours gives the same pixels, except where this file says why not.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace

import numpy as np
from PIL import Image, UnidentifiedImageError

from embedder.decoding import exif, heif, jpeg, mending, png, refusals
from embedder.decoding.decoded import Decoded
from embedder.decoding.fitting import Fitter
from embedder.decoding.mending import truncated_images
from embedder.errors import ImageError
from embedder.records import Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""The formats that Pillow may recognise, whatever a file's name says. Pillow knows many more, and starts an external
program for one of them."""

JPEGS = ("JPEG", "MPO")
"""Pillow's names for a JPEG. An MPO has several pictures; the first one is the photograph."""

LYING = {5, 6, 7, 8}
"""Orientations of pictures that are stored on their side."""

DRAFT_FACTOR = 7.5
"""A JPEG may be decoded at a reduced scale that leaves at least this many times the resized short
side: then what is lost is no more than the rounding of 8-bit pixels, and vectors keep cosine 0.9999.
At 4 (a 24-megapixel image at a quarter) they keep 0.9996, at 2 only 0.998. See docs/design.md."""

RESIZED_PIXELS = 1 << 24
"""More than any resized image has."""

PIXEL_BYTES = {"JPEG": 8, "MPO": 8, "WEBP": 20, "AVIF": 16, "HEIF": 16}
OTHER_PIXEL_BYTES = 12
"""What a pixel takes at the most while it is decoded, converted and turned, as measured: see docs/reliability.md."""

Reserve = Callable[[int], AbstractContextManager[None]]
"""Takes a number of bytes and holds them against a memory budget while its context lasts."""


class Decoder:
    """Turns image bytes into model input.

    Args:
        preprocessing: how the model's publisher prepares images.
        max_pixels: an image that claims more pixels is refused before it takes memory.
        exact: whether every pixel must equal the preset's. Otherwise pixels may differ by a level if that is faster.
        damaged: whether an image that has lost part of its data is decoded as far as possible, as viewers draw it.
        dates: whether to look up when the picture was taken.
        reserve: called with an estimate of the bytes that an image needs while it is decoded.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        max_pixels: int,
        exact: bool = True,
        damaged: bool = False,
        dates: bool = False,
        reserve: Reserve = lambda _: nullcontext(),
    ) -> None:
        self.preprocessing = preprocessing
        self.max_pixels = max_pixels
        self.fitter = Fitter(preprocessing, exact=exact)
        self.damaged = damaged
        self.dates = dates
        self.reserve = reserve
        # Pillow's own limit must not refuse what the user allows, nor what is resized here; ours is
        # looked at before any pixel is decoded.
        Image.MAX_IMAGE_PIXELS = max(max_pixels, RESIZED_PIXELS)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)

    def decode(self, data: bytes) -> Decoded:
        """Return the picture in an image file.

        Raises:
            ImageError: the bytes are not a whole image of a known format, or it is too large.
        """
        if not data:
            raise ImageError("Empty", "the file is empty")
        try:
            return self._open(data)
        except ImageError as error:
            found = self._mended(data) if error.error == "Corrupt" else None
            if found is None:
                raise
            return found

    def _mended(self, data: bytes) -> Decoded | None:
        """The picture of a file that was refused as it is; None if it cannot be had."""
        mended = mending.mended(data)
        if mended is not None:
            with suppress(ImageError):
                found = self._open(mended.data)
                return replace(found, notices=mended.notices + found.notices)
        if self.damaged:
            with suppress(ImageError):
                rest = self._open(mended.data if mended else mending.remains(data), partial=True)
                return replace(rest, notices=("Damaged",))
        return None

    def _open(self, data: bytes, *, partial: bool = False) -> Decoded:
        """Decode the picture in a file.

        Args:
            partial: whether a picture that has lost part of its data is decoded as far as possible.

        Raises:
            ImageError: the picture cannot be decoded.
        """
        try:
            with truncated_images(partial), Image.open(io.BytesIO(data), formats=_formats(data)) as image:
                return self._decoded(image, data, partial=partial)
        except ImageError:
            raise
        except UnidentifiedImageError:
            self._limit(refusals.stated_size(data) if data[4:8] == b"ftyp" else None)
            raise refusals.refusal(data) from None
        except Image.DecompressionBombError:
            raise ImageError("TooManyPixels", f"more than {self.max_pixels:,} pixels (--max-pixels)") from None
        except MemoryError:
            raise ImageError("TooManyPixels", "there is not enough memory to decode it") from None
        # Pillow's plugins report broken data with whatever their parsing raised: OSError,
        # SyntaxError, ValueError, struct.error, IndexError, zlib.error, ... Whatever it is, this
        # image cannot be read and the next one can.
        except Exception as error:
            raise refusals.unreadable(data, error) from error

    def _limit(self, size: tuple[int, int] | None) -> None:
        """Refuse a picture that is too large.

        Raises:
            ImageError: it has more pixels than are allowed.
        """
        if size is not None and size[0] * size[1] > self.max_pixels:
            raise ImageError(
                "TooManyPixels",
                f"{size[0]} x {size[1]} is more than {self.max_pixels:,} pixels (--max-pixels)",
            )

    def _decoded(self, image: Image.Image, data: bytes, *, partial: bool) -> Decoded:
        self._limit(image.size)
        if image.format == heif.FORMAT:
            self._limit(refusals.stated_size(data))  # of all, where only a part of it is shown
            heif.check(data)
        full_size = image.size
        reduce_scale(image, self.preprocessing)
        with self.reserve(_bytes_needed(image, full_size)):
            # Nothing but the picture as it is now is kept: a JPEG's is freed once it is RGB.
            loaded, notices = load(image, data, partial=partial)
            orientation = exif.orientation(image)  # a PNG may have it behind the pixels
            return Decoded(
                pixels=self.fitter.fit(loaded, orientation),
                notices=notices,
                width=full_size[orientation in LYING],
                height=full_size[orientation not in LYING],
                format=image.format or "",
                taken=exif.taken(image) if self.dates else None,
            )


def reduce_scale(image: Image.Image, preprocessing: Preprocessing) -> None:
    """Let libjpeg decode at 1/2, 1/4 or 1/8 where that leaves pixels enough.

    Args:
        image: opened, not loaded yet.
    """
    if image.format not in JPEGS:
        return
    width, height = image.size
    resized = max(image.size) if preprocessing.fit == "pad" else min(image.size)
    scale = preprocessing.resize * DRAFT_FACTOR / resized
    if scale <= 0.5:
        # A bound in both directions, rounded up: draft() never goes below what it is asked for.
        image.draft(None, (int(width * scale + 1), int(height * scale + 1)))


def _formats(data: bytes) -> tuple[str, ...]:
    return FORMATS + heif.formats(data)


def load(image: Image.Image, data: bytes, *, partial: bool = False) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the pixels as the file has them, and what was tolerated.

    Args:
        image: the file as Pillow opened it, perhaps at a reduced scale.
        data: the file.
        partial: whether a picture that has lost part of its data is decoded as far as possible.

    Raises:
        ImageError: data is missing or damaged.
    """
    if image.format in JPEGS:
        return jpeg.decode(data, image, partial=partial)
    image.load()
    if partial:
        if not np.asarray(image).any():  # decoders write whole rows, on black
            raise ImageError("Corrupt", "not one row of it can be decoded")
        return image, ()
    if image.format == "PNG":
        if not png.has_every_row(data, image):
            raise ImageError("Corrupt", "the PNG is damaged or cut off: its data ends before its last row")
        return image, () if png.has_end(data) else ("NoEndMarker",)
    return image, ()


def _bytes_needed(image: Image.Image, full_size: tuple[int, int]) -> int:
    """The memory that decoding takes at its peak; a progressive JPEG is held as a whole, at whatever scale."""
    width, height = image.size
    needed = width * height * PIXEL_BYTES.get(image.format or "", OTHER_PIXEL_BYTES)
    if image.info.get("progressive"):
        needed += full_size[0] * full_size[1] * 2 * len(image.getbands())
    return needed
