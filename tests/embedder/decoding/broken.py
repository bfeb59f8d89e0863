"""Small files that are broken in one place, and what a test asks of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from embedder.decoding.decoded import Decoded
from embedder.decoding.decoder import Decoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def decode(data: bytes, *, damaged: bool = False) -> Decoded:
    return Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, damaged=damaged).decode(data)


def is_tolerated(data: bytes, whole: bytes, *notices: str) -> None:
    """Assert that a file has exactly the pixels of the undamaged one, and that it is said what is wrong with it."""
    found, expected = decode(data), decode(whole)
    assert np.array_equal(found.pixels, expected.pixels)
    assert (found.width, found.height) == (expected.width, expected.height)
    assert found.notices == notices
    assert expected.notices == ()


def refusal(data: bytes, *, damaged: bool = False) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, damaged=damaged)
    return caught.value


def chunk(name: bytes, body: bytes, *, wrong: int = 0, length: int | None = None) -> bytes:
    """A PNG's chunk, whose checksum or length may be wrong."""
    size = len(body) if length is None else length
    return struct.pack(">I", size) + name + body + struct.pack(">I", zlib.crc32(name + body) ^ wrong)


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and bodies of a sound PNG's chunks."""
    at = 8
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        yield name, png[at + 8 : at + 8 + length]
        at += 12 + length


def interlaced(values: np.ndarray, missing: int = 0) -> bytes:
    """A PNG of 8-bit colours in the seven passes of Adam7, perhaps without its last bytes."""
    height, width, _ = values.shape
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    parts = [values[y::down, x::across] for x, y, across, down in passes]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    data = zlib.compress(rows[: len(rows) - missing])
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def segment(marker: int, body: bytes, *, length: int | None = None) -> bytes:
    """A JPEG's segment, whose length may be wrong."""
    return struct.pack(">BBH", 0xFF, marker, (len(body) + 2) if length is None else length) + body


BOMB = zlib.compress(bytes(5_000_000))
CONTROL = struct.pack(">II", 2, 0)
FRAME = struct.pack(">IIIIIHHBB", 0, 61, 47, 0, 0, 1, 10, 0, 0)

BESIDE = {
    "a text's checksum": chunk(b"tEXt", b"Comment\0hello", wrong=1),
    "a profile's checksum": chunk(b"iCCP", b"a\0\0" + zlib.compress(b"profile"), wrong=1),
    "a profile's compression": chunk(b"iCCP", b"a\0\x09xxxx"),
    "a profile without an end of its name": chunk(b"iCCP", b"abcd"),
    "a text's compression": chunk(b"zTXt", b"a\0\x09xxxx"),
    "a packed text that is too long": chunk(b"zTXt", b"a\0\0" + BOMB),
    "a packed profile that is too long": chunk(b"iCCP", b"a\0\0" + BOMB),
    "an international text that is too long": chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB),
    "chromaticities of four bytes": chunk(b"cHRM", b"abcd"),
    "no rendering intent": chunk(b"sRGB", b""),
    "a resolution of three bytes": chunk(b"pHYs", b"abc"),
    "a gamma of one byte": chunk(b"gAMA", b"a"),
    "a gamma's checksum": chunk(b"gAMA", b"\0\0\xb1\x8f", wrong=0x80),
    "a resolution's checksum": chunk(b"pHYs", bytes(9), wrong=1 << 31),
    "a text that states to be shorter": chunk(b"tEXt", b"Comment\0hello", length=4),
    "a text that states to be longer": chunk(b"tEXt", b"Comment\0hello", length=40),
    "a text that states to be longer than the file": chunk(b"tEXt", b"Comment\0hello", length=1 << 30),
    "two animations": chunk(b"acTL", CONTROL) * 2,
    "an animation of four bytes": chunk(b"acTL", b"abcd"),
    "frames in a wrong order": chunk(b"acTL", CONTROL) + chunk(b"fcTL", b"\0\0\0\7" + FRAME[4:]),
    "a frame beyond the picture": chunk(b"acTL", CONTROL) + chunk(b"fcTL", FRAME[:4] + b"\0\1" + FRAME[6:]),
    "a frame of three bytes": chunk(b"acTL", CONTROL) + chunk(b"fcTL", b"abc"),
}
"""Chunks of a PNG of 61 × 47 pixels that are broken, and touch none of them."""
