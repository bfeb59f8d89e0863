"""A PNG's picture does not depend on what stands beside it; damage to the picture itself is never passed over."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.embedder import corpus
from tests.embedder.decoding.broken import SIGNATURE, chunk, chunks, decode, interlaced, is_tolerated, refusal
from tests.embedder.pictures import encoded, picture
from tests.reliability.decoding import see_through, textured

pytestmark = pytest.mark.filterwarnings("ignore:Invalid APNG")


def turned() -> bytes:
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = 6
    return encoded(textured(), "PNG", exif=exif)


WHOLE = {
    "colour": encoded(textured(), "PNG"),
    "palette": encoded(textured().quantize(16), "PNG", transparency=3),
    "alpha": encoded(see_through(), "PNG"),
    "turned": turned(),
}
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
"""What is broken, before the picture."""

PASSED_OVER = {"two animations"}
"""What Pillow passes over by itself."""


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("damage", BESIDE)
def test_damage_beside_the_picture(kind: str, damage: str) -> None:
    whole = WHOLE[kind]
    notices = () if damage in PASSED_OVER else ("BadChunk",)
    is_tolerated(whole[:33] + BESIDE[damage] + whole[33:], whole, *notices)


@pytest.mark.parametrize("damage", BESIDE)
def test_damage_behind_the_picture(damage: str) -> None:
    whole = WHOLE["colour"]
    found = decode(whole[:-12] + BESIDE[damage] + whole[-12:])
    assert (found.pixels == decode(whole).pixels).all()
    assert found.notices in ((), ("BadChunk",))


@pytest.mark.parametrize("kind", WHOLE)
def test_a_header_that_is_too_long(kind: str) -> None:
    (_, header), *_ = chunks(WHOLE[kind])
    rest = WHOLE[kind][33:]
    for longer in (chunk(b"IHDR", header + b"\0\0\0", wrong=0), chunk(b"IHDR", header, length=200)):
        found = decode(SIGNATURE + longer + rest)
        assert (found.pixels == decode(WHOLE[kind]).pixels).all()


@pytest.mark.parametrize("kind", WHOLE)
def test_an_end_that_is_cut(kind: str) -> None:
    for missing in range(1, 13):
        # What is left may begin the end's name, which is nearly whole.
        found = decode(WHOLE[kind][:-missing])
        assert (found.pixels == decode(WHOLE[kind]).pixels).all()
        assert found.notices == (("NoEndMarker",) if missing > 4 else ()), missing


@pytest.mark.parametrize("name", [b"IHDR", b"PLTE", b"tRNS"])
def test_a_chunk_of_the_picture_with_a_wrong_checksum(name: bytes) -> None:
    parts = [chunk(each, body, wrong=each == name) for each, body in chunks(WHOLE["palette"])]
    assert refusal(SIGNATURE + b"".join(parts)).error == "Corrupt"


def test_transparency_is_not_taken_for_something_harmless() -> None:
    for name in (b"tRNs", b"tEXt", b"tRMS"):
        parts = [
            chunk(each, body) if each != b"tRNS" else chunk(each, body)[:4] + name + chunk(each, body)[8:]
            for each, body in chunks(WHOLE["palette"])
        ]
        assert refusal(SIGNATURE + b"".join(parts)).error == "Corrupt", name
    missing = [chunk(each, body, length=len(body) + 9 * (each == b"tRNS")) for each, body in chunks(WHOLE["palette"])]
    assert refusal(SIGNATURE + b"".join(missing)).error == "Corrupt"


@pytest.mark.parametrize("kind", WHOLE)
def test_missing_or_damaged_data_is_found_whatever_stands_beside_it(kind: str) -> None:
    beside = BESIDE["a text's checksum"]
    for name, body in chunks(WHOLE[kind]):
        if name == b"IDAT":
            broken = bytearray(body)
            broken[len(body) // 2] ^= 16
            for data in (bytes(broken), body[: len(body) // 2], body[: len(body) // 2] + body[len(body) // 2 + 9 :]):
                file = WHOLE[kind].replace(chunk(name, body), beside + chunk(name, data))
                assert refusal(file).error == "Corrupt"


def test_too_few_rows_are_missing_data() -> None:
    tall, short = encoded(picture(1, (40, 60)), "PNG"), encoded(picture(1, (40, 30)), "PNG")
    assert refusal(tall[:33] + BESIDE["a gamma of one byte"] + short[33:]).error == "Corrupt"
    found = refusal(tall[:33] + short[33:])
    assert (found.error, "before its last row" in found.message) == ("Corrupt", True)


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (2, 2), (5, 3), (9, 11)])
def test_too_few_rows_of_an_interlaced_one(size: tuple[int, int]) -> None:
    for lowest in (0, 1):  # black, and not black anywhere
        values = np.random.default_rng(3).integers(lowest, lowest + 200, (*size, 3), dtype=np.uint8) * lowest
        assert decode(interlaced(values)).notices == ()
        for missing in (1, size[1] * 3):
            assert refusal(interlaced(values, missing)).error == "Corrupt"


def test_what_is_left_of_a_damaged_one() -> None:
    whole = corpus.MADE["16-bit-colour.png"]()
    cut = whole[: len(whole) * 2 // 3]
    assert refusal(cut).error == "Corrupt"
    found, expected = decode(cut, damaged=True), decode(whole)
    assert found.notices == ("Damaged",)
    assert (found.pixels[:110] == expected.pixels[:110]).all()
    assert (found.pixels[-30:] == 0).all()
    assert decode(whole, damaged=True).notices == ()
    assert refusal(whole[: whole.index(b"IDAT") + 40], damaged=True).error == "Corrupt"
