"""Any picture that Pillow opened, as opaque 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, TiffImagePlugin

from embedder.errors import ImageError

TILE = 1024
"""Side of the parts in which pictures are converted to RGB, so that what is between takes no memory to speak of."""

PLAIN_MODES = ("1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX")
"""Modes whose `convert` to RGB is the rendering."""

PHOTOMETRIC, SAMPLE_FORMAT, SMALLEST, LARGEST = 262, 339, 340, 341  # tags of TIFF 6.0
WHITE_IS_ZERO = 0

Render = Callable[[Image.Image], Image.Image]


def to_rgb(image: Image.Image) -> Image.Image:
    """Render any image as opaque 8-bit RGB, transparency on white.

    Raises:
        ImageError: what its numbers mean is not known: the colour space has no defined rendering here, or nothing
            says which number is black and which is white.
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


def _rendering(image: Image.Image) -> Render | None:
    """How each part of an image becomes RGB; None where it is that already."""
    if image.mode.startswith("I;16"):
        return _inverted(_from_16_bit) if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO else _from_16_bit
    if image.mode in ("I", "F"):
        return _range(image)
    if image.has_transparency_data:
        return _on_white
    if image.mode == "RGB":
        return None
    if image.mode in PLAIN_MODES:
        return lambda part: part.convert("RGB")
    raise ImageError("Unsupported", f"a picture in the colour space {image.mode}: save it as RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """16-bit grey to 8-bit: 0..65535 becomes 0..255, so 257 to 1."""
    values = np.asarray(image).astype(np.uint32)
    grey = ((values + 128) // 257).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _inverted(render: Render) -> Render:
    return lambda part: Image.eval(render(part), lambda level: 255 - level)


def _on_white(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


@dataclass(frozen=True, slots=True)
class _Range:
    """Grey from numbers between two that the file states."""

    black: float
    white: float
    unsigned: bool

    def __call__(self, part: Image.Image) -> Image.Image:
        values = np.asarray(part)
        if self.unsigned:
            values = values.view(np.uint32)
        share = (values.astype(np.float64) - self.black) / (self.white - self.black)
        if not np.isfinite(share).all():
            raise ImageError("Unsupported", "a TIFF in which some numbers are infinite or none: replace them")
        return Image.fromarray(np.rint(share.clip(0, 1) * 255).astype(np.uint8)).convert("RGB")


def _range(image: Image.Image) -> _Range:
    """The range that a TIFF of floats, of 32-bit or of signed numbers states.

    Raises:
        ImageError: it states none.
    """
    low, high = (_number(_tag(image, tag)) for tag in (SMALLEST, LARGEST))
    if low is None or high is None or not low < high:
        kind = "floats" if image.mode == "F" else "32-bit or signed numbers"
        raise ImageError(
            "Unsupported",
            f"a {image.format} of {kind} that does not state its range (SMinSampleValue and SMaxSampleValue): "
            "which of them is black and which white is unknown; convert it to 8 or to unsigned 16 bits",
        )
    if _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        low, high = high, low
    form = _tag(image, SAMPLE_FORMAT)
    unsigned = image.mode == "I" and (form[0] if isinstance(form, tuple) else form) in (None, 1)
    return _Range(low, high, unsigned)


def _tag(image: Image.Image, tag: int) -> Any:
    return image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


def _number(value: Any) -> float | None:
    """A tag's number; it may be given as one for each sample."""
    first = value[0] if isinstance(value, tuple) and value else value
    try:
        number = float(first)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if np.isfinite(number) else None
