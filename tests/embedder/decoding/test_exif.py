"""When a picture was taken, by its EXIF block."""

from __future__ import annotations

import io

import pytest
from PIL import ExifTags, Image

from embedder.decoding.decoder import Decoder
from embedder.records import Preprocessing

SMALL = Preprocessing(resize=8, crop=8, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))


def photograph(date: object, offset: object = None, kind: str = "JPEG") -> bytes:
    """A picture of 12 × 20 pixels that lies on its side, with a date of its own."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    tags = exif.get_ifd(ExifTags.IFD.Exif)
    tags[ExifTags.Base.DateTimeOriginal] = date
    if offset is not None:
        tags[ExifTags.Base.OffsetTimeOriginal] = offset
    file = io.BytesIO()
    Image.new("RGB", (20, 12), "navy").save(file, kind, exif=exif.tobytes())
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_format_says_when(kind: str) -> None:
    found = Decoder(SMALL, max_pixels=1000, dates=True).decode(photograph("2024:05:01 12:30:00", "+02:00", kind))
    assert (found.taken, found.format) == ("2024-05-01T12:30:00+02:00", kind)
    assert (found.width, found.height) == (12, 20)


@pytest.mark.parametrize(
    ("date", "offset", "taken"),
    [
        ("2024:05:01 12:30:00", None, "2024-05-01T12:30:00"),
        ("2024:05:01 12:30:00", "   :  ", "2024-05-01T12:30:00"),
        ("2024:05:01 12:30:00", "-03:30", "2024-05-01T12:30:00-03:30"),
        ("2024:05:01 12:30:00\0\0", "+00:00\0", "2024-05-01T12:30:00+00:00"),
        ("0000:00:00 00:00:00", "+02:00", None),
        ("    :  :     :  :  ", None, None),
        ("2023:02:29 10:00:00", None, None),
        ("yesterday", None, None),
        (7, None, None),
    ],
)
def test_a_date_that_no_calendar_has_is_none(date: object, offset: object, taken: str | None) -> None:
    data = photograph(date, offset)
    assert Decoder(SMALL, max_pixels=1000, dates=True).decode(data).taken == taken
    assert Decoder(SMALL, max_pixels=1000).decode(data).taken is None, "nobody asked"
