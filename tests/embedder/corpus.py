"""Picture files of every mode and format that people have, made here from real photographs."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from tests.embedder.pictures import encoded
from tests.photographs import variation

ORIENTATION = 0x0112
BITS_PER_SAMPLE = 258
LOW, HIGH = 340, 341
"""SMinSampleValue and SMaxSampleValue of a TIFF."""


def photo(seed: int = 0) -> Image.Image:
    return variation(seed)


def turned(orientation: int, format: str = "JPEG", **options: Any) -> bytes:
    """A file that asks to be shown turned or mirrored."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(photo(orientation), format, exif=exif, **options)


def grey16(seed: int = 3) -> npt.NDArray[np.uint16]:
    """A grey photograph that uses all 16 bits."""
    grey = np.asarray(photo(seed).convert("L")).astype(np.uint16)
    noise = np.random.default_rng(seed).integers(0, 257, grey.shape)
    return np.minimum(grey.astype(np.uint32) * 257 + noise, 65535).astype(np.uint16)


def hidden_colours(seed: int = 4) -> Image.Image:
    """Transparent in parts, with loud colours where nothing is to be seen."""
    image = photo(seed).convert("RGBA")
    values = np.asarray(image).copy()
    height, width = values.shape[:2]
    values[..., 3] = np.linspace(0, 255, width).astype(np.uint8)[None, :]
    values[height // 3 : height // 2, :, :] = (255, 0, 255, 0)
    return Image.fromarray(values)


def palette(seed: int = 5) -> Image.Image:
    return photo(seed).quantize(64)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def rgb16_png(values: npt.NDArray[np.uint16]) -> bytes:
    """A PNG with 16 bits a channel, which Pillow does not write."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff(values: npt.NDArray[np.uint16], bits: int, order: str = "<") -> bytes:
    """An uncompressed grey TIFF with 12 or 16 bits a pixel; 12 are packed, two pixels in three bytes."""
    height, width = values.shape
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(np.uint32)
        packed = (pairs[:, 0] << 12) | pairs[:, 1]
        data = b"".join(int(each).to_bytes(3, "big") for each in packed)
    else:
        data = values.astype(f"{order}u2").tobytes()
    tags = [(256, width), (257, height), (BITS_PER_SAMPLE, bits), (259, 1), (262, 1), (277, 1), (278, height)]
    tags = sorted([*tags, (273, 8 + 2 + 12 * 9 + 4), (279, len(data))])
    head = b"II*\0" if order == "<" else b"MM\0*"
    directory = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    return head + struct.pack(f"{order}IH", 8, len(tags)) + directory + struct.pack(f"{order}I", 0) + data


def with_range(values: npt.NDArray[Any], low: float, high: float) -> bytes:
    """A grey TIFF of any numbers that says which of them is black and which white."""
    return encoded(Image.fromarray(values), "TIFF", tiffinfo={LOW: float(low), HIGH: float(high)})


def _twelve_bits() -> bytes:
    values = grey16(12)
    return tiff((values[:, : values.shape[1] // 2 * 2] >> 4).astype(np.uint16), 12)


def animation(format: str, **options: Any) -> bytes:
    """Three different pictures, one after another."""
    frames = [photo(seed).resize((300, 260)) for seed in (6, 7, 8)]
    return encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=50, **options)


def one_line(size: tuple[int, int]) -> bytes:
    """A picture one pixel thin."""
    values = np.random.default_rng(9).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(values), "PNG")


def _transparent_colour(image: Image.Image, colour: Any) -> bytes:
    return encoded(image, "PNG", transparency=colour)


def _grey16_with_transparency() -> bytes:
    values = grey16()
    values[: values.shape[0] // 3] = 1234
    plain = encoded(Image.fromarray(values), "PNG")
    header_end = 8 + 25
    return plain[:header_end] + png_chunk(b"tRNS", struct.pack(">H", 1234)) + plain[header_end:]


def _grey_with_transparency() -> bytes:
    values = np.asarray(photo(10).convert("L")).copy()
    values[: values.shape[0] // 3] = 7
    return _transparent_colour(Image.fromarray(values), 7)


def _rgb_with_transparency() -> bytes:
    values = np.asarray(photo(11)).copy()
    values[: values.shape[0] // 3] = (1, 2, 3)
    return _transparent_colour(Image.fromarray(values), (1, 2, 3))


def _palette_with_alphas() -> bytes:
    return encoded(palette(12), "PNG", transparency=bytes(range(0, 256, 4)))


MADE: dict[str, Callable[[], bytes]] = {
    **{f"exif-{number}.jpg": (lambda number=number: turned(number, quality=92)) for number in range(1, 9)},  # type: ignore[misc]
    "exif-6.png": lambda: turned(6, "PNG"),
    "exif-8.webp": lambda: turned(8, "WEBP", quality=90),
    "exif-5.tif": lambda: turned(5, "TIFF"),
    "cmyk.jpg": lambda: encoded(photo(20).convert("CMYK"), "JPEG", quality=92),
    "cmyk.tif": lambda: encoded(photo(21).convert("CMYK"), "TIFF"),
    "grey.jpg": lambda: encoded(photo(22).convert("L"), "JPEG", quality=92),
    "progressive.jpg": lambda: encoded(photo(23), "JPEG", progressive=True, quality=85),
    "full-colour.jpg": lambda: encoded(photo(24), "JPEG", subsampling=0, quality=95),
    "16-bit.png": lambda: encoded(Image.fromarray(grey16()), "PNG"),
    "16-bit.tif": lambda: encoded(Image.fromarray(grey16()), "TIFF"),
    "16-bit-big-endian.tif": lambda: tiff(grey16(), 16, ">"),
    "16-bit-transparent.png": _grey16_with_transparency,
    "16-bit-colour.png": lambda: rgb16_png(np.asarray(photo(13)).astype(np.uint16) * 257),
    "12-bit.tif": _twelve_bits,
    "32-bit.tif": lambda: with_range(np.asarray(photo(14).convert("L")).astype(np.int32) * 2 - 60, -60, 450),
    "float.tif": lambda: with_range(np.asarray(photo(15).convert("L")).astype(np.float32) / 255, 0.0, 1.0),
    "1-bit.png": lambda: encoded(photo(25).convert("1"), "PNG"),
    "1-bit.tif": lambda: encoded(photo(26).convert("1"), "TIFF", compression="group4"),
    "palette.png": lambda: encoded(palette(), "PNG"),
    "palette.bmp": lambda: encoded(palette(), "BMP"),
    "palette-alphas.png": _palette_with_alphas,
    "palette-colour.png": lambda: encoded(palette(17), "PNG", transparency=3),
    "palette.gif": lambda: encoded(palette(16), "GIF", transparency=9),
    "plain.bmp": lambda: encoded(photo(27), "BMP"),
    "plain.tif": lambda: encoded(photo(28), "TIFF", compression="tiff_lzw"),
    "plain.webp": lambda: encoded(photo(29), "WEBP", quality=80),
    "hidden.png": lambda: encoded(hidden_colours(), "PNG"),
    "hidden.webp": lambda: encoded(hidden_colours(), "WEBP", lossless=True, exact=True),
    "hidden.tif": lambda: encoded(hidden_colours(), "TIFF"),
    "grey-alpha.png": lambda: encoded(hidden_colours().convert("LA"), "PNG"),
    "grey-colour.png": _grey_with_transparency,
    "rgb-colour.png": _rgb_with_transparency,
    "animated.gif": lambda: animation("GIF"),
    "animated.webp": lambda: animation("WEBP"),
    "animated.png": lambda: animation("PNG"),
    "pages.tif": lambda: animation("TIFF"),
    "one-pixel.png": lambda: one_line((1, 1)),
    "tall.png": lambda: one_line((1, 20_000)),
    "wide.png": lambda: one_line((20_000, 1)),
}
"""What is decoded at full scale, by file name."""

if features.check("avif"):
    MADE["plain.avif"] = lambda: encoded(photo(30), "AVIF", quality=80)


@cache
def mosaic(width: int, height: int) -> Image.Image:
    """A large picture with detail everywhere: photographs side by side at their own scale."""
    tiles = [photo(100 + number) for number in range(24)]
    large = Image.new("RGB", (width, height))
    number = 0
    for top in range(0, height, 220):
        for left in range(0, width, 220):
            large.paste(tiles[number % len(tiles)], (left, top))
            number += 1
    return large


def noisy(image: Image.Image) -> Image.Image:
    """As a sensor sees it in the dark."""
    values = np.asarray(image).astype(np.int16)
    noise = np.random.default_rng(31).integers(-24, 25, values.shape, dtype=np.int16)
    return Image.fromarray(np.clip(values + noise, 0, 255).astype(np.uint8))


def _large_turned() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(mosaic(5100, 3850), "JPEG", quality=88, exif=exif)


LARGE: dict[str, Callable[[], bytes]] = {
    "large.jpg": lambda: encoded(mosaic(5800, 3900), "JPEG", quality=90),
    "large-turned.jpg": _large_turned,
    "large-noisy.jpg": lambda: encoded(noisy(mosaic(5100, 3850)), "JPEG", quality=85),
    "large-grey.jpg": lambda: encoded(mosaic(5100, 3850).convert("L"), "JPEG", quality=90),
}
"""JPEGs so large that they may be decoded at a reduced scale."""
