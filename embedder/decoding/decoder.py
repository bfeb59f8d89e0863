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

from embedder.decoding import heif, jpeg, mending, png, refusals, simd
from embedder.decoding.decoded import Decoded
from embedder.decoding.mending import truncated_images
from embedder.decoding.rendering import to_rgb
from embedder.errors import ImageError
from embedder.records import Pixels, Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""The formats that Pillow may recognise, whatever a file's name says. Pillow knows many more, and starts an external
program for one of them."""

JPEGS = ("JPEG", "MPO")
"""Pillow's names for a JPEG. An MPO has several pictures; the first one is the photograph."""

ORIENTATION_TAG = 0x0112  # EXIF 2.3, section 4.6.4

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

LYING = {5, 6, 7, 8}
"""Orientations of pictures that are stored on their side."""

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

DRAFT_FACTOR = 7.5
"""A JPEG may be decoded at a reduced scale that leaves at least this many times the resized short
side: then what is lost is no more than the rounding of 8-bit pixels, and vectors keep cosine 0.9999.
At 4 (a 24-megapixel image at a quarter) they keep 0.9996, at 2 only 0.998. See docs/design.md."""

LONGEST_RESIZE = 16
"""Past this many crops the long side is not resized as a whole before it is cut, for the memory's sake:
a 1 × 20,000 image would become a 256 × 5,120,000 one. Elsewhere the whole is resized as the reference
does it: Pillow rounds to 8 bits between its two passes and may swap them with the size of the result,
so that resizing the cropped part alone differs by one level here and there (relative error 8e-3)."""

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
        reserve: called with an estimate of the bytes that an image needs while it is decoded.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        max_pixels: int,
        exact: bool = True,
        damaged: bool = False,
        reserve: Reserve = lambda _: nullcontext(),
    ) -> None:
        self.preprocessing = preprocessing
        self.max_pixels = max_pixels
        self.exact = exact
        self.damaged = damaged
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
        self._draft(image)
        with self.reserve(_bytes_needed(image, full_size)):
            # Nothing but the picture as it is now is kept: a JPEG's is freed once it is RGB.
            loaded, notices = _loaded(image, data, partial=partial)
            upright = to_rgb(loaded)
            orientation = _orientation(image)  # a PNG may have it behind the pixels
            if orientation in UPRIGHT:
                upright = upright.transpose(UPRIGHT[orientation])
            return Decoded(
                pixels=self._crop(upright),
                notices=notices,
                width=full_size[orientation in LYING],
                height=full_size[orientation not in LYING],
                format=image.format or "",
            )

    def _draft(self, image: Image.Image) -> None:
        """Let libjpeg decode at 1/2, 1/4 or 1/8 where that leaves pixels enough."""
        if image.format not in JPEGS:
            return
        width, height = image.size
        resized = max(image.size) if self.preprocessing.fit == "pad" else min(image.size)
        scale = self.preprocessing.resize * DRAFT_FACTOR / resized
        if scale <= 0.5:
            # A bound in both directions, rounded up: draft() never goes below what it is asked for.
            image.draft(None, (int(width * scale + 1), int(height * scale + 1)))

    def _crop(self, image: Image.Image) -> Pixels:
        """Resize the picture as the preprocessing says, and cut out the centre: (crop, crop, 3)."""
        preprocessing = self.preprocessing
        if preprocessing.fit == "short":
            return self._crop_short(image)
        filter = FILTERS[preprocessing.interpolation]
        resize, crop = preprocessing.resize, preprocessing.crop
        if preprocessing.fit == "both":
            square = image.resize((resize, resize), filter)
        else:
            # In this order, as the libraries compute it: another one would round some sides to another number.
            width, height = (max(1, round(side / (max(image.size) / resize))) for side in image.size)
            square = Image.new("RGB", (resize, resize), preprocessing.fill)
            square.paste(image.resize((width, height), filter), ((resize - width) // 2, (resize - height) // 2))
        corner = round((resize - crop) / 2)
        return np.asarray(square.crop((corner, corner, corner + crop, corner + crop)))

    def _crop_short(self, image: Image.Image) -> Pixels:
        """Resize the short side and crop the centre. What the crop lacks is black, and nearer the right and bottom."""
        resize, crop = self.preprocessing.resize, self.preprocessing.crop
        short = min(image.size)
        # torchvision truncates the long side.
        width, height = (resize if side == short else int(resize * side / short) for side in image.size)
        size = min(crop, width), min(crop, height)
        part = self._centre(image, (width, height), size)
        if size == (crop, crop):
            return part
        square = np.zeros((crop, crop, 3), np.uint8)
        left, top = (crop - size[0]) // 2, (crop - size[1]) // 2
        square[top : top + size[1], left : left + size[0]] = part
        return square

    def _centre(self, image: Image.Image, resized: tuple[int, int], size: tuple[int, int]) -> Pixels:
        """Resize the whole picture and cut out its centre.

        Args:
            resized: width and height of the whole, afterwards.
            size: width and height of the centre.
        """
        filter = self.preprocessing.interpolation
        # torchvision rounds the crop's corner (half to even).
        left, top = (round((whole - part) / 2) for whole, part in zip(resized, size, strict=True))
        x, y = image.width / resized[0], image.height / resized[1]  # source pixels per resized pixel
        box = (left * x, top * y, min(size[0] * x, image.width - left * x), min(size[1] * y, image.height - top * y))
        if not self.exact and simd.is_installed():
            return simd.resized(image, box, size, filter)
        if max(resized) <= LONGEST_RESIZE * self.preprocessing.crop:
            whole = image.resize(resized, FILTERS[filter])
            return np.asarray(whole.crop((left, top, left + size[0], top + size[1])))
        right, bottom = box[0] + box[2], box[1] + box[3]
        return np.asarray(image.resize(size, FILTERS[filter], box=(*box[:2], right, bottom)))


def _formats(data: bytes) -> tuple[str, ...]:
    return FORMATS + heif.formats(data)


def _loaded(image: Image.Image, data: bytes, *, partial: bool) -> tuple[Image.Image, tuple[str, ...]]:
    """The pixels as the file has them, and what was tolerated."""
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


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; as a browser does, an unreadable EXIF block counts as none."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1
