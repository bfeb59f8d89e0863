"""Image bytes to the pixels that the model sees.

The reference is torchvision's own preset on the upright RGB image: resize the short side, crop the
centre. Ours gives the same pixels, except where this file says why not.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from PIL import Image, UnidentifiedImageError

from embedder.decoding import jpeg
from embedder.errors import ImageError
from embedder.records import Pixels, Preprocessing

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""What is looked for in a file, whatever its name says. Pillow knows many more, and runs a program for one of them."""

JPEGS = ("JPEG", "MPO")
"""What Pillow makes of a JPEG; an MPO holds several pictures, of which the first is the photograph."""

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

TILE = 1024
"""Side of the parts in which pictures are converted to RGB, so that what is between takes no memory to speak of."""

PIXEL_BYTES = {"JPEG": 8, "MPO": 8, "WEBP": 20, "AVIF": 16}
OTHER_PIXEL_BYTES = 12
"""What a pixel takes at the most while it is decoded, converted and turned, as measured: see docs/reliability.md."""

Reserve = Callable[[int], AbstractContextManager[None]]
"""Takes a number of bytes and holds them against a memory budget while its context lasts."""


class Decoder:
    """Turns image bytes into model input.

    Args:
        preprocessing: what the model expects.
        max_pixels: images that claim more are refused before memory is spent on them.
        reserve: called with an estimate of the bytes an image needs while it is decoded.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        max_pixels: int,
        reserve: Reserve = lambda _: nullcontext(),
    ) -> None:
        self.preprocessing = preprocessing
        self.max_pixels = max_pixels
        self.reserve = reserve
        # Pillow's own limit must not refuse what the user allows, nor what is resized here; ours is
        # looked at before any pixel is decoded.
        Image.MAX_IMAGE_PIXELS = max(max_pixels, RESIZED_PIXELS)
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)

    def decode(self, data: bytes) -> Pixels:
        """Return the pixels of an image file, (crop, crop, 3) uint8 RGB.

        Raises:
            ImageError: the bytes are not a whole image of a known format, or it is too large.
        """
        if not data:
            raise ImageError("Empty", "the file is empty")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                return self._pixels(image, data)
        except ImageError:
            raise
        except UnidentifiedImageError:
            raise ImageError("NotAnImage", f"not an image in a known format ({_looks_like(data)})") from None
        except Image.DecompressionBombError:
            raise ImageError("TooManyPixels", f"more than {self.max_pixels:,} pixels (--max-pixels)") from None
        except MemoryError:
            raise ImageError("TooManyPixels", "there is not enough memory to decode it") from None
        # Pillow's plugins report broken data with whatever their parsing raised: OSError,
        # SyntaxError, ValueError, struct.error, IndexError, zlib.error, ... Whatever it is, this
        # image cannot be read and the next one can.
        except Exception as error:
            raise ImageError("Corrupt", f"{type(error).__name__}: {error}") from error

    def _pixels(self, image: Image.Image, data: bytes) -> Pixels:
        width, height = image.size
        if width * height > self.max_pixels:
            raise ImageError(
                "TooManyPixels",
                f"{width} x {height} is more than {self.max_pixels:,} pixels (--max-pixels)",
            )
        full_size = image.size
        self._draft(image)
        with self.reserve(_bytes_needed(image, full_size)):
            # Nothing but the picture as it is now is kept: a JPEG's is freed once it is RGB.
            upright = to_rgb(jpeg.decode(data, image) if image.format in JPEGS else _loaded(image))
            orientation = _orientation(image)  # a PNG may have it behind the pixels
            if orientation in UPRIGHT:
                upright = upright.transpose(UPRIGHT[orientation])
            return np.asarray(self._crop(upright))

    def _draft(self, image: Image.Image) -> None:
        """Let libjpeg decode at 1/2, 1/4 or 1/8 where that leaves pixels enough."""
        if image.format not in JPEGS:
            return
        width, height = image.size
        least = self.preprocessing.resize * DRAFT_FACTOR
        scale = least / min(width, height)
        if scale <= 0.5:
            # A bound in both directions, rounded up: draft() never goes below what it is asked for.
            image.draft(None, (int(width * scale + 1), int(height * scale + 1)))

    def _crop(self, image: Image.Image) -> Image.Image:
        """Resize the short side and crop the centre."""
        resize, crop = self.preprocessing.resize, self.preprocessing.crop
        filter = FILTERS[self.preprocessing.interpolation]
        short = min(image.size)
        # torchvision truncates the long side and rounds the crop's corner (half to even).
        width, height = (resize if side == short else int(resize * side / short) for side in image.size)
        left, top = round((width - crop) / 2), round((height - crop) / 2)
        if max(width, height) <= LONGEST_RESIZE * crop:
            return image.resize((width, height), filter).crop((left, top, left + crop, top + crop))
        x, y = image.width / width, image.height / height  # source pixels per resized pixel
        right, bottom = min((left + crop) * x, image.width), min((top + crop) * y, image.height)
        return image.resize((crop, crop), filter, box=(left * x, top * y, right, bottom))


def _loaded(image: Image.Image) -> Image.Image:
    image.load()
    return image


def _bytes_needed(image: Image.Image, full_size: tuple[int, int]) -> int:
    """The memory that decoding takes at its peak; a progressive JPEG is held as a whole, at whatever scale."""
    width, height = image.size
    needed = width * height * PIXEL_BYTES.get(image.format or "", OTHER_PIXEL_BYTES)
    if image.info.get("progressive"):
        needed += full_size[0] * full_size[1] * 2 * len(image.getbands())
    return needed


def to_rgb(image: Image.Image) -> Image.Image:
    """Render any image as opaque 8-bit RGB, transparency on white.

    Raises:
        ImageError: the image is in a colour space that has no defined rendering here.
    """
    render = _rendering(image)
    if render is None:
        return image
    width, height = image.size
    rgb = Image.new("RGB", image.size)
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            box = (left, top, min(left + TILE, width), min(top + TILE, height))
            rgb.paste(render(image.crop(box)), box)
    return rgb


def _rendering(image: Image.Image) -> Callable[[Image.Image], Image.Image] | None:
    """How each part of an image becomes RGB; None where it is that already."""
    if image.mode.startswith("I;16"):
        return _from_16_bit
    if image.has_transparency_data:
        return _on_white
    if image.mode == "RGB":
        return None
    if image.mode in ("I", "F"):
        return lambda part: part.convert("L").convert("RGB")
    if image.mode in ("1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX"):
        return lambda part: part.convert("RGB")
    raise ImageError("UnknownMode", f"pictures in mode {image.mode} are not supported; save it as RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit: 0..65535 becomes 0..255, so 257 to 1."""
    values = np.asarray(image).astype(np.uint32)
    grey = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation; as a browser does, an unreadable EXIF block counts as none."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def _looks_like(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it looks like a web page or XML"
    return f"it starts with {data[:8].hex(' ')}"
