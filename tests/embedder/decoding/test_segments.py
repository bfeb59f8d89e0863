"""A JPEG's picture does not depend on what is said beside it, and missing data is found whatever is missing."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.embedder import corpus
from tests.embedder.decoding.broken import decode, is_tolerated, refusal, segment
from tests.embedder.pictures import encoded
from tests.reliability.decoding import textured

END = b"\xff\xd9"


def with_preview() -> bytes:
    """As a camera writes it: turned, and with a small JPEG of something else within EXIF."""
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = 6
    preview = encoded(Image.new("RGB", (16, 16), "red"), "JPEG")
    return encoded(textured(), "JPEG", quality=90, exif=exif.tobytes() + preview + bytes(20))


def in_scans() -> bytes:
    """A baseline JPEG with a scan for each component, made of three grey ones."""
    bands = [encoded(band, "JPEG", quality=90) for band in textured().convert("YCbCr").split()]
    frame = bands[0].index(b"\xff\xc0")
    scan = [band.index(b"\xff\xda") for band in bands]
    head, tables = bands[0][:frame], bands[0][frame + 13 : scan[0]]
    size = bands[0][frame + 4 : frame + 9]
    parts = [segment(0xC0, size + b"\3" + b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))), tables]
    for number, (band, at) in enumerate(zip(bands, scan, strict=True), start=1):
        parts.append(segment(0xDA, bytes([1, number, 0, 0, 63, 0])) + band[at + 10 : -2])
    return head + b"".join(parts) + END


KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "full colour": {"subsampling": 0},
    "grey": {"mode": "L"},
    "CMYK": {"mode": "CMYK"},
}


def made(kind: str) -> bytes:
    options = dict(KINDS[kind])
    return encoded(textured().convert(options.pop("mode", "RGB")), "JPEG", quality=90, **options)


WHOLE = {**{kind: made(kind) for kind in KINDS}, "with a preview": with_preview(), "in scans": in_scans()}


@pytest.mark.parametrize("kind", WHOLE)
def test_no_end_marker(kind: str) -> None:
    is_tolerated(WHOLE[kind][:-2], WHOLE[kind], "NoEndMarker")
    is_tolerated(WHOLE[kind][:-1], WHOLE[kind], "NoEndMarker")


@pytest.mark.parametrize("kind", WHOLE)
def test_a_byte_of_data_is_missing(kind: str) -> None:
    for missing in range(3, 40):
        assert refusal(WHOLE[kind][:-missing]).error == "Corrupt", missing


@pytest.mark.parametrize("kind", ["progressive", "in scans"])
def test_a_scan_that_never_came_is_missing_data(kind: str) -> None:
    # libjpeg says nothing here: what it has read is whole.
    whole = WHOLE[kind]
    scans = [match.start() for match in re.finditer(rb"\xff\xda\0[\x08\x0a\x0c]", whole)]
    assert len(scans) >= 3
    for scan in scans[1:]:
        assert refusal(whole[:scan]).error == "Corrupt"
        tables = whole.rfind(b"\xff\xc4", 0, scan)
        assert refusal(whole[:tables]).error == "Corrupt"


def test_arithmetic_data_is_not_taken_for_whole() -> None:
    # Its decoder goes on with zeros and says nothing, so nobody can know.
    frame = WHOLE["baseline"].replace(b"\xff\xc0\0", b"\xff\xc9\0", 1)
    assert refusal(frame[:-2]).error == "Corrupt"


EXIF = b"Exif\0\0MM\0*\xff\xff\xff\xff nonsense"
BESIDE = {
    "a length that is too short": segment(0xE5, b"said by some program" * 3, length=20),
    "a length that is too long": segment(0xE5, b"said by some program" * 3, length=70),
    "a length beyond the file": segment(0xE5, b"said by some program" * 3, length=65535),
    "a length of nothing": segment(0xE5, b"said by some program" * 3, length=0),
    "rubbish": bytes(range(90)),
    "zeros": bytes(33),
    "a comment's length": segment(0xFE, b"hello", length=3),
    "EXIF that states to be longer": segment(0xE1, EXIF, length=100),
    "EXIF that makes no sense": segment(0xE1, EXIF),
    "JFIF of six bytes": segment(0xE0, b"JFIF\0\1"),
    "Adobe of six bytes": segment(0xEE, b"Adobe\0"),
    "a profile of twelve bytes": segment(0xE2, b"ICC_PROFILE\0"),
    "two in a row": segment(0xE5, b"some", length=30) + segment(0xFE, b"other", length=50),
    "a restart": b"\xff\xd0",
}
NOTICED = {"a length that is too long", "a length beyond the file", "two in a row"}
"""What keeps decoders from the picture; they pass over the rest without a word, or Pillow alone stumbles."""
AFTER_JFIF = 20


PAIRS = [(kind, damage) for kind in WHOLE for damage in BESIDE if (kind, damage[:4]) != ("with a preview", "EXIF")]
"""All but EXIF before EXIF: Pillow joins the two, and what comes of it states no orientation."""


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize(("kind", "damage"), PAIRS)
def test_damage_beside_the_picture(kind: str, damage: str) -> None:
    whole = WHOLE[kind]
    for at in (AFTER_JFIF, whole.rindex(b"\xff\xdb\0\x43")):
        if at > AFTER_JFIF or b"JFIF" in whole[:AFTER_JFIF]:
            found = decode(whole[:at] + BESIDE[damage] + whole[at:])
            assert np.array_equal(found.pixels, decode(whole).pixels)
            assert found.notices == ("BadSegment",) or (damage not in NOTICED and not found.notices)


def test_rubbish_before_the_first_segment() -> None:
    whole = WHOLE["baseline"]
    is_tolerated(whole[:2] + b"\0rubbish" + whole[2:], whole, "BadSegment")


def test_an_orientation_survives_a_wrong_length_around_it() -> None:
    whole = WHOLE["with a preview"]
    at = whole.index(b"\xff\xe1") + 2
    length = int.from_bytes(whole[at : at + 2])
    for wrong in (0, 2, 9, length + 3, 65535):
        is_tolerated(whole[:at] + wrong.to_bytes(2) + whole[at + 2 :], whole, "BadSegment")
    is_tolerated(whole[:at] + (length - 3).to_bytes(2) + whole[at + 2 :], whole)  # libjpeg looks on for three bytes


def test_both_at_once() -> None:
    whole = WHOLE["baseline"]
    is_tolerated(whole[:20] + BESIDE["a length that is too long"] + whole[20:-2], whole, "BadSegment", "NoEndMarker")


@pytest.mark.parametrize("kind", WHOLE)
def test_missing_data_is_found_whatever_stands_beside_it(kind: str) -> None:
    whole = WHOLE[kind]
    spoilt = whole[:20] + BESIDE["a length that is too long"] + whole[20:]
    scan = spoilt.rindex(b"\xff\xda")
    middle = (scan + len(spoilt)) // 2
    assert refusal(spoilt[:middle] + END).error == "Corrupt"
    assert refusal(spoilt[:middle]).error == "Corrupt"


def test_a_table_that_is_missing_is_not_made_up() -> None:
    whole = encoded(textured(), "JPEG", quality=90, optimize=True)
    for marker in (b"\xff\xdb", b"\xff\xc4", b"\xff\xc0"):
        at = whole.index(marker)
        length = int.from_bytes(whole[at + 2 : at + 4])
        assert refusal(whole[:at] + whole[at + 2 + length :]).error == "Corrupt", marker
        assert refusal(whole[: at + 2] + b"\0\7" + whole[at + 4 :]).error == "Corrupt", marker


def height_at_the_end(kind: str) -> bytes:
    """The file with 0 for its height, which stands behind the first scan instead."""
    whole = WHOLE[kind]
    frame = re.search(rb"\xff[\xc0\xc2]\0[\x0b\x11]\x08", whole)
    assert frame is not None
    at = frame.start() + 5
    behind = re.compile(rb"\xff[^\0\xd0-\xd7]").search(whole, whole.index(b"\xff\xda") + 2)
    assert behind is not None
    end = behind.start()
    return whole[:at] + b"\0\0" + whole[at + 2 : end] + segment(0xDC, whole[at : at + 2]) + whole[end:]


@pytest.mark.parametrize("kind", ["baseline", "restarts", "grey", "progressive"])
def test_a_height_that_is_stated_at_the_end(kind: str) -> None:
    data = height_at_the_end(kind)
    is_tolerated(data, WHOLE[kind])
    is_tolerated(data[:-2], WHOLE[kind], "NoEndMarker")


def test_a_height_that_is_stated_nowhere() -> None:
    data = height_at_the_end("baseline")
    found = refusal(data.replace(b"\xff\xdc\0\4", b"\xff\xfe\0\4"))
    assert (found.error, "height" in found.message) == ("Corrupt", True)


@pytest.mark.parametrize("kind", ["baseline", "restarts", "grey", "CMYK"])
def test_what_is_left_of_a_damaged_one(kind: str) -> None:
    options = dict(KINDS[kind])
    image = corpus.photo(3).convert(options.pop("mode", "RGB"))
    whole = encoded(image, "JPEG", quality=88, **options)
    for cut in (whole[: len(whole) // 2], whole[: len(whole) // 2] + END):
        assert refusal(cut).error == "Corrupt"
        found, expected = decode(cut, damaged=True), decode(whole)
        assert found.notices == ("Damaged",)
        assert np.array_equal(found.pixels[:60], expected.pixels[:60])
        assert np.ptp(found.pixels[-20:].astype(int)) == 0, "grey"
    assert decode(whole, damaged=True).notices == ()
    assert decode(whole[:-2], damaged=True).notices == ("NoEndMarker",)


def test_what_is_left_of_a_progressive_one_is_all_of_it_less_sharp() -> None:
    whole = encoded(corpus.photo(3), "JPEG", quality=88, progressive=True)
    tables = [match.start() for match in re.finditer(rb"\xff[\xc4\xda]\0", whole)]
    for length in (len(whole) * 2 // 3, *(at + beyond for at in tables[-4:] for beyond in (1, 3, 7))):
        found = decode(whole[:length], damaged=True)
        assert found.notices == ("Damaged",)
        assert np.abs(found.pixels.astype(int) - decode(whole).pixels).mean() < 20


def test_less_than_a_row_is_nothing() -> None:
    whole = encoded(corpus.photo(3), "JPEG", quality=88)
    scan = whole.index(b"\xff\xda")
    for length in (100, scan, scan + 14, scan + 60):
        assert refusal(whole[:length], damaged=True).error == "Corrupt", length


def test_the_pixels_are_those_of_pillow() -> None:
    for kind in ("with a preview", "in scans"):
        with Image.open(io.BytesIO(WHOLE[kind])) as image:
            assert image.size == (61, 47)
            assert decode(WHOLE[kind]).format == "JPEG"
