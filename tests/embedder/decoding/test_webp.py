"""A WebP's picture does not depend on the length in its first line, nor on metadata behind it."""

from __future__ import annotations

import struct

import pytest
from PIL import Image

from tests.embedder import corpus
from tests.embedder.decoding.broken import decode, is_tolerated, refusal
from tests.embedder.pictures import encoded
from tests.reliability.decoding import see_through, textured


def turned() -> bytes:
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = 6
    return encoded(textured(), "WEBP", quality=80, exif=exif)


WHOLE = {
    "lossy": encoded(textured(), "WEBP", quality=80),
    "lossless": encoded(textured(), "WEBP", lossless=True),
    "alpha": encoded(see_through(), "WEBP", quality=80),
    "turned": turned(),
    "animated": encoded(textured(), "WEBP", save_all=True, append_images=[textured(5)]),
}


def stating(data: bytes, length: int) -> bytes:
    return data[:4] + struct.pack("<I", length) + data[8:]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_wrong_length_in_the_first_line(kind: str) -> None:
    whole = WHOLE[kind]
    length = len(whole) - 8
    for wrong in (0, 12, length // 2, length - 2, length + 2, length + 1000, 0xFFFFFFFF):
        is_tolerated(stating(whole, wrong), whole, "WrongLength")


def test_metadata_that_is_cut_off() -> None:
    whole = WHOLE["turned"]
    begin = whole.index(b"EXIF")
    plain = encoded(textured(), "WEBP", quality=80)
    for cut in (begin + 3, begin + 8, begin + 12):
        found = decode(whole[:cut])
        assert found.notices == ("WrongLength",)
        assert (found.pixels == decode(plain).pixels).all()


@pytest.mark.parametrize("kind", WHOLE)
def test_missing_data_is_found_whatever_length_is_stated(kind: str) -> None:
    whole = WHOLE[kind]
    end = whole.index(b"EXIF") if kind == "turned" else len(whole)
    for cut in (40, end // 2, end - 20):
        for stated in (len(whole) - 8, cut - 8, 0):
            assert refusal(stating(whole[:cut], stated)).error == "Corrupt", (cut, stated)
