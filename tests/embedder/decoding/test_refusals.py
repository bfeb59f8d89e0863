"""What cannot be read is named for what it is, in words that help."""

from __future__ import annotations

import re
import struct
import zipfile
from io import BytesIO

import numpy as np
import pytest

from embedder.decoding.decoder import Decoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from tests.embedder.decoding.broken import refusal
from tests.embedder.pictures import encoded, picture
from tests.reliability.decoding import small_files, textured


def tiff(bits: tuple[int, ...], **tags: int) -> bytes:
    """The beginning of a TIFF of 4 × 4 pixels, whose numbers are of a kind that Pillow does not read."""
    entries = [(256, 3, 4), (257, 3, 4), (259, 3, tags.get("compression", 1)), (262, 3, tags.get("photometric", 1))]
    entries += [(273, 4, 8), (277, 3, len(bits)), (278, 3, 4), (279, 4, 9999), (284, 3, tags.get("planar", 1))]
    entries += [(339, 3, tags.get("kind", 1))]
    if len(bits) < 3:
        entries.append((258, 3, sum(each << 16 * number for number, each in enumerate(bits))))
    else:
        entries.append((258, 3, 8))
    directory = b"".join(
        struct.pack("<HHII", tag, kind, len(bits) if tag == 258 else 1, value) for tag, kind, value in sorted(entries)
    )
    depths = struct.pack(f"<{len(bits)}H", *bits)
    return (
        b"II*\0" + struct.pack("<I", 8 + len(depths)) + depths + struct.pack("<H", len(entries)) + directory + bytes(4)
    )


def bmp(**changes: int) -> bytes:
    whole = bytearray(encoded(picture(), "BMP"))
    for at, value in ((14, "header"), (28, "bits"), (30, "compression")):
        if value in changes:
            whole[at : at + 2] = struct.pack("<H", changes[value])
    return bytes(whole)


def jpeg(**changes: int) -> bytes:
    whole = bytearray(encoded(picture(), "JPEG"))
    frame = whole.index(b"\xff\xc0")
    whole[frame + 1] = changes.get("frame", 0xC0)
    whole[frame + 4] = changes.get("bits", 8)
    return bytes(whole)


def archive() -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a", "b")
    return buffer.getvalue()


ACCESS_DENIED = b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"

NO_IMAGES = {
    "page": (b"<!DOCTYPE html><html><head><title>Not found</title>", ["HTML", "Not found"]),
    "page with a comment": (b"\xef\xbb\xbf\n<!-- saved -->\n<HTML><BODY>", ["HTML"]),
    "S3's answer": (ACCESS_DENIED, ["S3", "AccessDenied"]),
    "XML": (b" <?xml version='1.0'?><a/>", ["XML"]),
    "JSON": (b'{"message": "not found"}', ["JSON"]),
    "JSON list": (b'[{"a": 1}]', ["JSON"]),
    "PDF": (b"%PDF-1.7\n", ["PDF"]),
    "MP4": (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", ["video"]),
    "QuickTime": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", ["video"]),
    "WebM": (b"\x1aE\xdf\xa3\x9fB\x86\x81\1", ["video"]),
    "AVI": (b"RIFF\x24\0\0\0AVI LIST", ["video"]),
    "archive": (archive(), ["ZIP"]),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0", ["gzip"]),
    "AppleDouble": (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(80), ["AppleDouble"]),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", ["Git LFS"]),
    "zeros": (bytes(5000), ["zeros"]),
    "text": (b"just text", ["just text"]),
    "bytes": (b"\x93\x01\x02\x03 abc", ["93 01 02 03"]),
}

UNSUPPORTED = {
    "floats": (tiff((32, 32, 32), kind=3, photometric=2), ["TIFF", "three 32-bit floats", "8 bits"]),
    "five bands": (tiff((8,) * 5, photometric=2), ["TIFF", "five 8-bit numbers"]),
    "doubles": (tiff((64,), kind=3), ["TIFF", "one 64-bit float a pixel"]),
    "complex": (tiff((64,), kind=6), ["TIFF", "complex number"]),
    "planes": (tiff((16, 16, 16), photometric=2, planar=2, kind=2), ["TIFF", "signed", "plane by plane"]),
    "JPEG 2000 in a TIFF": (tiff((8,), compression=34712), ["TIFF", "JPEG 2000"]),
    "LAB": (encoded(picture().convert("LAB"), "TIFF"), ["LAB", "RGB"]),
    "a BMP's header": (bmp(header=77), ["BMP", "77"]),
    "a BMP's depth": (bmp(bits=2), ["BMP", "2 bits"]),
    "a BMP's compression": (bmp(compression=5), ["BMP", "PNG"]),
    "12 bits": (jpeg(bits=12), ["JPEG", "12 bits"]),
    "lossless": (jpeg(frame=0xC3), ["JPEG", "lossless"]),
    "SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ["SVG"]),
    "SVG in XML": (b"<?xml version='1.0'?>\n<svg width='4'/>", ["SVG"]),
    "JPEG XL": (b"\xff\x0a\xfa\x1f\x01\x91\x08\x06\x01\0", ["JPEG XL"]),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n", ["JPEG XL"]),
    "raw": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", ["raw", "CR3"]),
    **{
        name: (encoded(picture(), name), [word])
        for name, word in (("EPS", "PostScript"), ("PPM", "PNM"), ("ICO", "icon"), ("JPEG2000", "JPEG 2000"))
    },
}

CORRUPT = {
    "JPEG": (b"\xff\xd8\xff", ["JPEG", "header"]),
    "PNG": (b"\x89PNG\r\n\x1a\n", ["PNG", "header"]),
    "GIF": (b"GIF89a\1\0\1", ["GIF", "header"]),
    "WebP": (b"RIFF\x24\0\0\0WEBPVP8 ", ["WebP", "cut off"]),
    "BMP": (b"BM" + bytes(20), ["BMP", "header"]),
    "TIFF": (b"II*\0\xff\xff\0\0", ["TIFF", "directory"]),
    "TIFF without a size": (b"II*\0\x08\0\0\0\0\0\0\0\0\0", ["TIFF", "width"]),
    "AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", ["AVIF"]),
}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        *(pytest.param("NotAnImage", *case, id=name) for name, case in NO_IMAGES.items()),
        *(pytest.param("Unsupported", *case, id=name) for name, case in UNSUPPORTED.items()),
        *(pytest.param("Corrupt", *case, id=f"{name}, cut") for name, case in CORRUPT.items()),
    ],
)
def test_it_is_named(name: str, data: bytes, words: list[str]) -> None:
    found = refusal(data)
    assert found.error == name
    for word in words:
        assert word in found.message


def avif(width: int, height: int) -> bytes:
    """A small AVIF that states to be a large one."""
    data = bytearray(encoded(textured(), "AVIF"))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", width, height)
    return bytes(data)


@pytest.mark.parametrize("size", [(17_000, 17_000), (40_000, 10)])
def test_what_exceeds_a_decoders_limit_is_too_large(size: tuple[int, int]) -> None:
    decoder = Decoder(IMAGENET_PRESET, max_pixels=10**9)
    with pytest.raises(ImageError) as caught:
        decoder.decode(avif(*size))
    assert caught.value.error == "TooManyPixels"
    assert f"{size[0]} x {size[1]}" in caught.value.message


def test_what_exceeds_the_limit_says_so_although_pillow_does_not_open_it() -> None:
    found = refusal(avif(17_000, 17_000))
    assert (found.error, "178,956,970" in found.message) == ("TooManyPixels", True)


def test_a_jpeg_with_a_side_that_is_too_long() -> None:
    data = bytearray(encoded(picture(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 10, 65_535)
    found = refusal(bytes(data))
    assert (found.error, "65,500" in found.message) == ("TooManyPixels", True)


EXCEPTION = re.compile(r"\b[A-Za-z_.]*(Error|Exception|Warning)\b")


@pytest.mark.filterwarnings("ignore")
def test_no_message_is_a_programmers() -> None:
    chance = np.random.default_rng(0)
    messages = []
    for data in small_files().values():
        for _ in range(25):
            broken = bytearray(data[: chance.integers(10, len(data))])
            broken[chance.integers(0, min(len(broken), 200))] ^= 1 << int(chance.integers(8))
            try:
                Decoder(IMAGENET_PRESET, max_pixels=10**7).decode(bytes(broken))
            except ImageError as error:
                messages.append(error.message)
    assert len(messages) > 500
    assert [each for each in messages if EXCEPTION.search(each) or len(each) < 15 or "object at" in each] == []
