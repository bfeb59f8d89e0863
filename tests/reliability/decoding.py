"""What becomes of an image file: its pixels, or the name of its failure."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from embedder.decoding.decoder import Decoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels
from tests.embedder import corpus
from tests.embedder.pictures import encoded, picture

FAILURES = {"Empty", "NotAnImage", "Corrupt", "TooManyPixels", "Unsupported"}
"""What a bad file may be called. `Crashed` and `TooSlow` would say that a decoder has a bug."""

SIZE = (61, 47)


def decode(data: bytes) -> Pixels:
    return Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS).decode(data).pixels


def outcome(data: bytes) -> Pixels | str:
    """Return the pixels, or the failure's name."""
    try:
        return decode(data)
    except ImageError as error:
        return error.error


def textured(seed: int = 3, size: tuple[int, int] = SIZE) -> Image.Image:
    """A small picture whose every pixel matters."""
    values = np.asarray(picture(seed, size)).astype(int)
    noise = np.random.default_rng(seed).integers(-20, 21, values.shape)
    return Image.fromarray(np.clip(values + noise, 0, 255).astype(np.uint8))


def see_through() -> Image.Image:
    image = textured().convert("RGBA")
    image.putalpha(textured(4).convert("L"))
    return image


def _several(format: str, **options: Any) -> bytes:
    rest = [textured(seed) for seed in (5, 6)]
    return encoded(textured(), format, save_all=True, append_images=rest, **options)


def small_files() -> dict[str, bytes]:
    """A small file of each way in which the formats keep pixels."""
    image, palette, line = textured(), textured().quantize(16), textured().convert("1")
    turned = Image.Exif()
    turned[corpus.ORIENTATION] = 6
    deep = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    files = {
        "plain.jpg": encoded(image, "JPEG", quality=90),
        "turned.jpg": encoded(image, "JPEG", quality=90, exif=turned),
        "progressive.jpg": encoded(image, "JPEG", quality=90, progressive=True),
        "restarts.jpg": encoded(image, "JPEG", quality=90, restart_marker_rows=1),
        "cmyk.jpg": encoded(image.convert("CMYK"), "JPEG"),
        "grey.jpg": encoded(image.convert("L"), "JPEG"),
        "several.mpo.jpg": _several("MPO"),
        "plain.png": encoded(image, "PNG"),
        "turned.png": encoded(image, "PNG", exif=turned),
        "1-bit.png": encoded(line, "PNG"),
        "palette.png": encoded(palette, "PNG", transparency=3),
        "16-bit.png": encoded(deep, "PNG"),
        "animated.png": _several("PNG"),
        "plain.gif": encoded(palette, "GIF"),
        "animated.gif": _several("GIF"),
        "plain.webp": encoded(image, "WEBP", quality=80),
        "lossless.webp": encoded(image, "WEBP", lossless=True),
        "alpha.webp": encoded(see_through(), "WEBP", quality=80, exif=turned),
        "animated.webp": _several("WEBP"),
        "plain.bmp": encoded(image, "BMP"),
        "palette.bmp": encoded(palette, "BMP"),
        "1-bit.bmp": encoded(line, "BMP"),
        "plain.avif": encoded(image, "AVIF", quality=80),
        "alpha.avif": encoded(see_through(), "AVIF", quality=80, exif=turned),
        "animated.avif": _several("AVIF"),
        "several.tif": _several("TIFF"),
        "cmyk.tif": encoded(image.convert("CMYK"), "TIFF"),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma", "zstd"):
        files[f"{compression}.tif"] = encoded(image, "TIFF", compression=compression)
    for compression in ("raw", "group3", "group4", "tiff_ccitt"):
        files[f"1-bit-{compression}.tif"] = encoded(line, "TIFF", compression=compression)
    return files


def format_of(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as image:
        return image.format or ""
