"""Pixels: those of torchvision's preset on the upright picture, or an error that says what is wrong."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from embedder.decoding.decoder import Decoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels
from tests.embedder import corpus, reference
from tests.embedder.pictures import encoded, jpeg, picture, png

TRUNCATED = {
    "JPEG": lambda: encoded(corpus.photo(1), "JPEG", quality=90),
    "progressive JPEG": lambda: encoded(corpus.photo(1), "JPEG", progressive=True),
    "PNG": lambda: encoded(corpus.photo(1), "PNG"),
    "GIF": lambda: encoded(corpus.photo(1), "GIF"),
    "WEBP": lambda: encoded(corpus.photo(1), "WEBP"),
    "TIFF": lambda: encoded(corpus.photo(1), "TIFF"),
    "compressed TIFF": lambda: encoded(corpus.photo(1), "TIFF", compression="tiff_lzw"),
    "BMP": lambda: encoded(corpus.photo(1), "BMP"),
}


def decode(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels:
    return Decoder(IMAGENET_PRESET, max_pixels=max_pixels).decode(data).pixels


def is_picture(pixels: Pixels) -> bool:
    return pixels.shape == (224, 224, 3) and pixels.dtype == np.uint8


def error(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, max_pixels)
    return caught.value


@pytest.mark.parametrize("name", corpus.MADE)
def test_pixels_are_those_of_the_preset(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(corpus.MADE[name]())
    found = decode(path.read_bytes())
    assert is_picture(found)
    expected = reference.pixels(reference.upright(path))
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.001


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright(orientation: int) -> None:
    upright = corpus.photo(40)
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    lying = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = orientation
    assert np.array_equal(decode(encoded(lying, "PNG", exif=exif)), decode(encoded(upright, "PNG")))


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_changes_nothing(value: int) -> None:
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = value
    assert np.array_equal(decode(encoded(picture(), "PNG", exif=exif)), decode(png()))


def test_a_broken_exif_block_changes_nothing() -> None:
    broken = encoded(picture(), "JPEG", quality=90, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff nonsense")
    assert np.array_equal(decode(broken), decode(jpeg()))


def test_transparent_parts_are_white_whatever_they_hide() -> None:
    values = np.zeros((300, 300, 4), np.uint8)
    values[..., 0] = 255
    hidden = Image.fromarray(values)
    for data in (encoded(hidden, "PNG"), encoded(hidden, "WEBP", lossless=True, exact=True), encoded(hidden, "TIFF")):
        assert (decode(data) == 255).all()
    values[..., 3] = 51
    assert np.array_equal(np.unique(decode(encoded(Image.fromarray(values), "PNG"))), [204, 255])


def test_16_bit_grey_is_divided_by_257() -> None:
    for value, expected in (
        (0, 0),
        (128, 0),
        (129, 1),
        (257, 1),
        (32896, 128),
        (65406, 254),
        (65407, 255),
        (65535, 255),
    ):
        data = encoded(Image.fromarray(np.full((300, 300), value, np.uint16)), "PNG")
        assert (decode(data) == expected).all(), value


def test_16_bit_colours_are_within_a_level_of_their_value() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (224, 224, 3)).astype(np.uint16)
    preset = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS)
    data = corpus.rgb16_png(np.repeat(np.repeat(values[:1, :1], 256, 0), 256, 1))
    assert np.abs(preset.decode(data).pixels.astype(float) - values[0, 0] / 257).max() <= 1


def test_12_bits_say_nothing_about_brightness() -> None:
    data = corpus.tiff(np.full((300, 300), 4095, np.uint16), 12)
    assert (decode(data) == round(4095 / 257)).all()


@pytest.mark.parametrize("kind", TRUNCATED)
def test_a_truncated_file_is_never_guessed_at(kind: str) -> None:
    whole = TRUNCATED[kind]()
    decode(whole)
    for share in (0.02, 0.3, 0.6, 0.9):
        found = error(whole[: int(len(whole) * share)])
        assert found.error == "Corrupt", share
        assert found.message
        assert not found.transient


def test_damaged_bytes_in_a_png_are_found() -> None:
    whole = bytearray(png(size=(400, 300)))
    whole[len(whole) // 2] ^= 0xFF
    assert error(bytes(whole)).error == "Corrupt"


def test_nothing_is_no_picture() -> None:
    assert (error(b"").error, error(b"").message) == ("Empty", "the file is empty")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that claims to be enormous."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(100_000))
    chunk = corpus.png_chunk
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_a_bomb_is_refused_before_memory_is_spent_on_it() -> None:
    for size in ((20_000, 20_000), (100_000, 100_000), (2**31 - 1, 2**31 - 1), (179_000_000, 1)):
        found = error(bomb(*size))
        assert found.error == "TooManyPixels", size
        assert "178,956,970" in found.message


def test_the_limit_of_pixels_is_the_users() -> None:
    decode(png(size=(100, 100)), max_pixels=10_000)
    found = error(png(size=(100, 101)), max_pixels=10_000)
    assert found.error == "TooManyPixels"
    assert "more than 10,000 pixels" in found.message
    decode(png(size=(100, 101)), max_pixels=20_000)


def test_memory_is_asked_for_before_it_is_used() -> None:
    asked: list[int] = []
    held = []

    @contextmanager
    def reserve(size: int) -> Iterator[None]:
        asked.append(size)
        held.append(size)
        try:
            yield
        finally:
            held.remove(size)

    decoder = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, reserve=reserve)
    decoder.decode(png(size=(1000, 500)))
    with pytest.raises(ImageError):
        decoder.decode(png(size=(1000, 500))[:-5000])
    assert min(asked) >= 1000 * 500 * 3
    assert held == []


@settings(max_examples=200)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_an_image_or_an_error(data: bytes) -> None:
    error(data)


@settings(max_examples=150)
@given(
    name=st.sampled_from(["exif-6.png", "palette.gif", "palette.bmp", "plain.tif", "plain.webp", "grey.jpg"]),
    seed=st.integers(0, 2**32),
)
def test_damaged_files_are_an_image_or_an_error(name: str, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(SMALL[name])
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(min(len(data), chance.choice((64, 1024, 10**9))))] = chance.randrange(256)
    try:
        found = decode(bytes(data), max_pixels=2_000_000)
    except ImageError as caught:
        outcome: str = caught.error
    else:
        outcome = "picture" if is_picture(found) else "something else"
    assert outcome in ("picture", "Corrupt", "NotAnImage", "TooManyPixels", "Unsupported")


def small_files() -> dict[str, bytes]:
    image = picture(3, (60, 50))
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = 6
    return {
        "exif-6.png": encoded(image, "PNG", exif=exif),
        "palette.gif": encoded(image.quantize(16), "GIF"),
        "palette.bmp": encoded(image.quantize(16), "BMP"),
        "plain.tif": encoded(image, "TIFF", compression="tiff_lzw"),
        "plain.webp": encoded(image, "WEBP"),
        "grey.jpg": encoded(image.convert("L"), "JPEG"),
    }


SMALL = small_files()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP"])
def test_what_is_left_of_a_damaged_one(kind: str) -> None:
    whole = TRUNCATED[kind]()
    decoder = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, damaged=True)
    found, expected = decoder.decode(whole[: len(whole) * 7 // 10]), decoder.decode(whole)
    assert (found.notices, expected.notices) == (("Damaged",), ())
    rows = slice(-40, None) if kind == "BMP" else slice(40)  # a BMP begins with its last row
    assert np.array_equal(found.pixels[rows], expected.pixels[rows])
    with pytest.raises(ImageError):
        decoder.decode(whole[:60])


def test_what_is_known_of_the_file_comes_along() -> None:
    lying = Image.Exif()
    lying[corpus.ORIENTATION] = 6
    found = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS).decode(
        encoded(picture(1, (300, 200)), "WEBP", exif=lying)
    )
    assert (found.width, found.height, found.format, found.notices) == (200, 300, "WEBP", ())
    large = corpus.LARGE["large.jpg"]()
    found = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS).decode(large)
    assert (found.width, found.height, found.format) == (5800, 3900, "JPEG")
