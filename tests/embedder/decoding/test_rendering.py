"""Numbers become colours where the file says which is black and which white, and never by guessing."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.embedder import corpus
from tests.embedder.corpus import HIGH, LOW
from tests.embedder.decoding.broken import decode, refusal
from tests.embedder.pictures import encoded

SIDE = 256
RAMP = np.linspace(0, 1, SIDE * SIDE).reshape(SIDE, SIDE)
KINDS: dict[str, tuple[type, float, float]] = {
    "floats from 0 to 1": (np.float32, 0, 1),
    "floats of heights": (np.float32, -431.5, 8848.9),
    "32-bit": (np.int32, 0, 70_000),
    "32-bit, signed": (np.int32, -(2**31), 2**31 - 1),
}


def numbers(kind: str) -> np.ndarray:
    dtype, low, high = KINDS[kind]
    return (low + RAMP * (high - low)).astype(dtype)


def grey(data: bytes) -> np.ndarray:
    """The middle of a picture that is as large as the preset resizes to."""
    pixels = decode(data).pixels
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0].astype(int)


MIDDLE = slice((SIDE - 224) // 2, (SIDE + 224) // 2)
WANTED = np.rint(RAMP * 255)[MIDDLE, MIDDLE]


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_that_is_stated(kind: str) -> None:
    _, low, high = KINDS[kind]
    assert np.abs(grey(corpus.with_range(numbers(kind), low, high)) - WANTED).max() <= 1
    narrow = corpus.with_range(numbers(kind), low + (high - low) / 4, high - (high - low) / 4)
    assert np.abs(grey(narrow) - np.rint((RAMP * 2 - 0.5).clip(0, 1) * 255)[MIDDLE, MIDDLE]).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_range_that_is_not_stated(kind: str) -> None:
    for tags in (
        {},
        {LOW: 0.0},
        {HIGH: 1.0},
        {LOW: 1.0, HIGH: 1.0},
        {LOW: 2.0, HIGH: 1.0},
        {LOW: float("nan"), HIGH: 1.0},
    ):
        found = refusal(encoded(Image.fromarray(numbers(kind)), "TIFF", tiffinfo=tags))
        assert found.error == "Unsupported"
        assert ("floats" if KINDS[kind][0] is np.float32 else "32-bit") in found.message
        assert "SMinSampleValue" in found.message


def sixteen(values: np.ndarray, *, signed: bool = False, tags: dict[int, int] | None = None) -> bytes:
    """A TIFF of 16-bit numbers; `corpus.tiff` with more tags."""
    entries: dict[int, tuple[int, Any]] = {
        **{256: (4, SIDE), 257: (4, SIDE), 258: (3, 16), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (4, SIDE)},
        **{279: (4, SIDE * SIDE * 2), 339: (3, 2 if signed else 1)},
        **{tag: (8 if tag in (LOW, HIGH) else 3, value) for tag, value in (tags or {}).items()},
    }
    entries[273] = (4, 8 + 2 + 12 * (len(entries) + 1) + 4)
    directory = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack({3: "<Hxx", 4: "<I", 8: "<hxx"}[kind], value)
        for tag, (kind, value) in sorted(entries.items())
    )
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + values.astype("<i2").tobytes()


def test_signed_16_bit_numbers() -> None:
    values = -20_000 + RAMP * 40_000
    assert refusal(sixteen(values, signed=True)).error == "Unsupported"
    found = grey(sixteen(values, signed=True, tags={LOW: -20_000, HIGH: 20_000}))
    assert np.abs(found - WANTED).max() <= 1


def test_white_may_be_zero() -> None:
    for low, high in ((0, 65535), (1000, 9000)):
        values = (low + RAMP * (high - low)).astype(np.uint16).view(np.int16)
        plain, inverted = (grey(sixteen(values, tags={262: photometric})) for photometric in (1, 0))
        assert np.array_equal(plain, 255 - inverted)
    floats = encoded(Image.fromarray(numbers("32-bit").astype(np.float32)), "TIFF", tiffinfo={LOW: 0.0, HIGH: 7e4})
    at = floats.index(struct.pack("<HHI", 262, 3, 1)) + 8
    swapped = floats[:at] + b"\0\0" + floats[at + 2 :]
    assert np.abs(grey(floats) + grey(swapped) - 255).max() <= 1


def test_unsigned_32_bit_numbers_beyond_the_signed_ones() -> None:
    values = (RAMP * (2**32 - 1)).astype(np.uint32)
    data = encoded(Image.fromarray(values.view(np.int32)), "TIFF", tiffinfo={LOW: 0.0, HIGH: float(2**32 - 1)})
    at = data.index(struct.pack("<HHI", 339, 3, 1)) + 8
    assert np.abs(grey(data[:at] + b"\1" + data[at + 1 :]) - WANTED).max() <= 1


def test_numbers_that_are_none() -> None:
    values = numbers("floats from 0 to 1")
    values[100, 100] = np.nan
    found = refusal(corpus.with_range(values, 0, 1))
    assert (found.error, "infinite" in found.message) == ("Unsupported", True)
