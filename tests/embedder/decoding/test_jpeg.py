"""A JPEG with missing or damaged data is a failure, where libjpeg would fill the hole with grey."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedder.decoding.decoder import Decoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels
from tests.embedder import corpus
from tests.embedder.pictures import encoded

END = b"\xff\xd9"
KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "with restart markers": {"restart_marker_rows": 1},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
}


def made(kind: str) -> bytes:
    options = dict(KINDS[kind])
    return encoded(corpus.photo(3).convert(options.pop("mode", "RGB")), "JPEG", quality=88, **options)


def decode(data: bytes) -> Pixels:
    return Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS).decode(data).pixels


def refusal(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_that_comes_too_early_is_no_grey_rest(kind: str) -> None:
    whole = made(kind)
    for share in (0.3, 0.6, 0.9, 0.97):
        found = refusal(whole[: int(len(whole) * share)] + END)
        assert found.error == "Corrupt", share
        assert "premature end" in found.message.lower()


@pytest.mark.parametrize("kind", KINDS)
def test_a_hole_in_the_middle_is_found(kind: str) -> None:
    whole, chance = made(kind), random.Random(4)
    for _ in range(20):
        begin = chance.randrange(len(whole) // 3, len(whole) - 3000)
        assert refusal(whole[:begin] + whole[begin + 2048 :]).error == "Corrupt", begin
        assert refusal(whole[:begin] + chance.randbytes(1024) + whole[begin + 1024 :]).error == "Corrupt", begin


def test_a_hole_is_found_at_a_reduced_scale_too() -> None:
    whole = corpus.LARGE["large.jpg"]()
    decode(whole)
    assert refusal(whole[: len(whole) // 2] + whole[len(whole) // 2 + 4096 :]).error == "Corrupt"
    assert refusal(whole[: len(whole) * 2 // 3] + END).error == "Corrupt"


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_around_the_data_is_no_damage(kind: str) -> None:
    whole, pixels = made(kind), decode(made(kind))
    for harmless in (
        whole + b"an appendix, as some phones write one",
        whole[:-2] + bytes(40) + END,  # filled up with zeros to some length
        whole[:-2] + b"\xff" * 7 + END,  # fill bytes, which the standard allows
        whole.replace(b"JFIF\0\1", b"JFIF\0\7", 1),  # of a version that is none
    ):
        assert np.array_equal(decode(harmless), pixels)


def test_left_over_data_is_damage() -> None:
    assert "extraneous bytes" in refusal(made("baseline")[:-2] + b"\x5a" * 40 + END).message


def flat(factors: tuple[int, int, int], blocks: int) -> bytes:
    """A grey JPEG of 48 × 48 pixels whose components have these sampling factors."""
    whole = bytearray(encoded(Image.new("RGB", (48, 48), (128, 128, 128)), "JPEG"))
    frame, scan = whole.index(b"\xff\xc0\x00\x11") + 11, whole.index(b"\xff\xda\x00\x0c") + 6
    for number, factor in enumerate(factors):
        whole[frame + 3 * number] = factor
        whole[scan + 2 * number] = 0  # all with the tables of the first component
    # No difference to the block before (00), and no more coefficients (1010), for every block.
    bits = "001010" * blocks
    bits += "1" * (-len(bits) % 8)
    return bytes(whole[: scan + 8]) + int(bits, 2).to_bytes(len(bits) // 8, "big") + END


@pytest.mark.parametrize(("factors", "blocks"), [((0x11, 0x11, 0x11), 108), ((0x31, 0x11, 0x11), 60)])
def test_an_unusual_subsampling_is_decoded(factors: tuple[int, int, int], blocks: int) -> None:
    assert (decode(flat(factors, blocks)) == 128).all()
