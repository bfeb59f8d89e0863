"""Every kind of image: the pixels of its upright RGB rendering, worked out here from the numbers that went in."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from embedder import embed, read
from embedder.encoders.choice import installed_engines
from tests.embedder import corpus, reference
from tests.embedder.pictures import encoded
from tests.reliability.decoding import decode, outcome, textured

Values = np.ndarray

TURNS: dict[int, Callable[[Values], Values]] = {
    1: lambda rows: rows,
    2: lambda rows: rows[:, ::-1],
    3: lambda rows: rows[::-1, ::-1],
    4: lambda rows: rows[::-1],
    5: lambda rows: rows.swapaxes(0, 1),
    6: lambda rows: rows.swapaxes(0, 1)[:, ::-1],
    7: lambda rows: rows[::-1, ::-1].swapaxes(0, 1),
    8: lambda rows: rows.swapaxes(0, 1)[::-1],
}
"""EXIF 2.3, section 4.6.4: what has to be done to the rows as stored."""


def on_white(colours: Values, alpha: Values) -> Values:
    share = alpha.astype(float)[..., None] / 255
    return np.rint(colours * share + 255 * (1 - share))


def three(grey: Values) -> Values:
    return np.repeat(grey[..., None], 3, axis=2)


def cmyk(values: Values) -> Values:
    rest = 255 - values.astype(float)
    return np.rint(rest[..., :3] * rest[..., 3:] / 255)


RENDERED: dict[str, tuple[type, int, Callable[[Values], Values]]] = {
    "1": (np.bool_, 1, lambda v: three(v * 255.0)),
    "L": (np.uint8, 1, lambda v: three(v.astype(float))),
    "LA": (np.uint8, 2, lambda v: on_white(three(v[..., 0]), v[..., 1])),
    "RGB": (np.uint8, 3, lambda v: v.astype(float)),
    "RGBA": (np.uint8, 4, lambda v: on_white(v[..., :3], v[..., 3])),
    "CMYK": (np.uint8, 4, cmyk),
    "I;16": (np.uint16, 1, lambda v: three(np.rint(v / 257))),
    "I": (np.int32, 1, lambda v: three(np.rint((v + 300) / 900 * 255))),
    "F": (np.float32, 1, lambda v: three(np.rint((v + 300) / 900 * 255))),
}
"""Of each mode: its numbers' type, how many a pixel has, and the policy of docs/reliability.md in numpy."""

EXACT: dict[tuple[str, str], dict[str, Any]] = {
    **{("PNG", mode): {} for mode in ("1", "L", "LA", "RGB", "RGBA", "I;16")},
    **{("TIFF", mode): {} for mode in RENDERED},
    **{("TIFF", mode): {"tiffinfo": {corpus.LOW: -300.0, corpus.HIGH: 600.0}} for mode in ("I", "F")},
    **{("WEBP", mode): {"lossless": True, "exact": True} for mode in ("RGB", "RGBA")},
    **{("BMP", mode): {} for mode in ("1", "L", "RGB")},
    **{("GIF", mode): {} for mode in ("1", "L")},
}
"""Formats and modes that give back the numbers that went in."""

CARRY_EXIF = {"PNG", "TIFF", "WEBP"}


def numbers(mode: str, size: tuple[int, int], seed: int) -> Values:
    dtype, bands, _ = RENDERED[mode]
    chance = np.random.default_rng(seed)
    shape = (size[1], size[0]) if bands == 1 else (size[1], size[0], bands)
    if mode == "1":
        return chance.random(shape) < 0.5
    low, high = {"I": (-300, 601), "F": (-300, 601), "I;16": (0, 65536)}.get(mode, (0, 256))
    return chance.integers(low, high, shape).astype(dtype)


def check(data: bytes, rendering: Values, *, differing: float = 0.005) -> None:
    """Compare with the preset's pixels of a rendering; rounding may differ in a few of them."""
    found = decode(data).astype(int)
    expected = reference.pixels(Image.fromarray(rendering.astype(np.uint8)))
    difference = np.abs(found - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < differing


@settings(max_examples=150)
@given(
    kind=st.sampled_from(sorted(EXACT)),
    orientation=st.integers(1, 8),
    width=st.integers(3, 90),  # thinner ones have a test of their own
    height=st.integers(3, 90),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_mode_format_orientation_and_size(
    kind: tuple[str, str], orientation: int, width: int, height: int, seed: int
) -> None:
    format, mode = kind
    values = numbers(mode, (width, height), seed)
    options = dict(EXACT[kind])
    if format in CARRY_EXIF:
        turned = Image.Exif()
        turned[corpus.ORIENTATION] = orientation
        if "tiffinfo" in options:  # which replaces what EXIF says
            options["tiffinfo"] = {**options["tiffinfo"], corpus.ORIENTATION: orientation}
        else:
            options["exif"] = turned
    else:
        orientation = 1
    image = Image.fromarray(values, mode if mode in ("LA", "CMYK") else None)
    check(encoded(image, format, **options), TURNS[orientation](RENDERED[mode][2](values)))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "MPO"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_in_every_format_that_has_one(format: str, orientation: int) -> None:
    image = textured(orientation, (90, 60))
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = orientation
    data = encoded(image, format, exif=exif, **{"JPEG": {"quality": 95}, "AVIF": {"quality": 95}}.get(format, {}))
    plain = encoded(image, format, **{"JPEG": {"quality": 95}, "AVIF": {"quality": 95}}.get(format, {}))
    with Image.open(io.BytesIO(plain)) as opened:
        stored = np.asarray(opened.convert("RGB"))
    check(data, TURNS[orientation](stored))


MODES = (
    *("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"),
    *("I", "I;16", "I;16L", "I;16B", "I;16N", "F"),
)
REFUSED = dict.fromkeys([("TIFF", "LAB"), ("TIFF", "I"), ("TIFF", "F")], "Unsupported")
"""What Pillow writes and we have no rendering for."""


def written() -> dict[tuple[str, str], bytes]:
    """Every pair of format and mode that this Pillow can write."""
    found = {}
    for mode in MODES:
        try:
            image = textured(7).convert("L").convert("I;16") if mode.startswith("I;16") else textured(7).convert(mode)
        except ValueError:
            image = textured(7).convert("RGBA").convert(mode)  # the premultiplied ones and PA
        if mode.startswith("I;16") and image.mode != mode:
            image = Image.frombytes(mode, image.size, np.asarray(image).astype(">u2" if mode[-1] == "B" else "<u2"))
        for format in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF"):
            try:
                found[format, mode] = encoded(image, format)
            except (OSError, ValueError, KeyError):
                continue
    return found


WRITTEN = written()


def test_pillow_writes_at_least_these() -> None:
    assert len(WRITTEN) >= 55
    assert set(EXACT) <= set(WRITTEN)


@pytest.mark.parametrize("kind", sorted(WRITTEN), ids="-".join)
def test_every_mode_of_every_format_is_rendered_or_refused(kind: tuple[str, str], tmp_path: Path) -> None:
    found = outcome(WRITTEN[kind])
    if kind in REFUSED:
        assert isinstance(found, str)
        assert found == REFUSED[kind]
        return
    path = tmp_path / "image"
    path.write_bytes(WRITTEN[kind])
    check(WRITTEN[kind], np.asarray(reference.upright(path)))


def profile(name: Literal["sRGB", "XYZ"]) -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile(name)).tobytes()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("name", ["sRGB", "XYZ"])
def test_colour_profiles_are_ignored(format: str, name: Literal["sRGB", "XYZ"]) -> None:
    assert np.array_equal(
        decode(encoded(textured(), format, icc_profile=profile(name))), decode(encoded(textured(), format))
    )


def without_adobe(data: bytes) -> bytes:
    """The JPEG without its APP14 marker, which says how its CMYK is to be taken."""
    begin = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:begin] + data[begin + 16 :]


def test_cmyk_jpegs_are_taken_as_adobe_writes_them() -> None:
    values = np.full((40, 60, 4), (40, 90, 160, 30), np.uint8)
    data = encoded(Image.fromarray(values, "CMYK"), "JPEG", quality=100, subsampling=0)
    wanted = cmyk(values)[0, 0]
    assert np.abs(decode(data).astype(float) - wanted).max() <= 4
    assert np.array_equal(decode(without_adobe(data)), decode(data))


def test_ycck_jpegs_are_cmyk_once_their_colours_are_turned_back() -> None:
    # YCCK keeps Y, Cb and Cr of the complement of CMY as stored; CMY is stored inverted, so of the inks themselves.
    inks = np.array([40, 90, 160], float)
    luma = inks @ [0.299, 0.587, 0.114]
    as_stored = [luma, 128 + (inks[2] - luma) * 0.564, 128 + (inks[0] - luma) * 0.713, 255 - 30]
    given_to_pillow = (255 - np.array(as_stored)).round().astype(np.uint8)  # which inverts what it writes
    pixels = np.broadcast_to(given_to_pillow, (40, 60, 4)).copy()
    data = bytearray(encoded(Image.fromarray(pixels, "CMYK"), "JPEG", quality=100, subsampling=0))
    transform = data.index(b"Adobe") + 11
    assert data[transform] == 0
    data[transform] = 2
    wanted = cmyk(np.array([[[*inks, 30]]], np.uint8))[0, 0]
    assert np.abs(decode(bytes(data)).astype(float) - wanted).max() <= 2


LONG = [(1, 1), (1, 2), (2, 1), (1, 20_000), (20_000, 1), (3, 5000)]


@pytest.mark.parametrize("size", LONG, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "JPEG", "GIF"])
def test_thin_and_tiny_ones(format: str, size: tuple[int, int], tmp_path: Path) -> None:
    values = np.random.default_rng(9).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    path = tmp_path / "image"
    path.write_bytes(encoded(Image.fromarray(values), format))
    # Of the very long ones only the part that is kept is resized, which rounds otherwise here and there.
    check(path.read_bytes(), np.asarray(reference.upright(path)), differing=0.2)


LITTLE_LOST: dict[str, dict[str, Any]] = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}


def test_of_several_pictures_the_first_counts() -> None:
    first, rest = textured(1), [textured(2), textured(3)]
    for format in ("GIF", "PNG", "WEBP", "TIFF", "MPO", "AVIF"):
        options = LITTLE_LOST.get(format, {})
        several = decode(encoded(first.copy(), format, save_all=True, append_images=rest, **options)).astype(int)
        alone = decode(encoded(first.copy(), format, **options)).astype(int)
        assert np.abs(several - alone).mean() < 3, format
        assert np.abs(several - decode(encoded(rest[0].copy(), format, **options))).mean() > 10, format


def test_deep_colours_in_a_tiff() -> None:
    values = np.random.default_rng(2).integers(0, 65536, (30, 40, 3)).astype(np.uint16)
    found = decode(rgb16_tiff(values, "<")), decode(rgb16_tiff(values, ">"))
    assert np.array_equal(*found)
    wanted = reference.pixels(Image.fromarray((values // 257).astype(np.uint8))).astype(int)
    assert np.abs(found[0] - wanted).max() <= 2


def rgb16_tiff(values: Values, order: str) -> bytes:
    """An uncompressed TIFF of 16 bits a channel, which Pillow does not write."""
    height, width, _ = values.shape
    data = values.astype(f"{order}u2").tobytes()
    count = 10
    depths = 8 + 2 + count * 12 + 4
    short, long = 3, 4
    tags = [(256, long, 1, width), (257, long, 1, height), (258, short, 3, depths), (259, short, 1, 1)]
    tags += [(262, short, 1, 2), (273, long, 1, depths + 6), (277, short, 1, 3), (278, long, 1, height)]
    tags += [(279, long, 1, len(data)), (284, short, 1, 1)]

    def entry(tag: int, kind: int, number: int, value: int) -> bytes:
        packed = struct.pack(f"{order}H2x", value) if kind == short and number == 1 else struct.pack(f"{order}I", value)
        return struct.pack(f"{order}HHI", tag, kind, number) + packed

    head = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(f"{order}IH", 8, count) + b"".join(entry(*tag) for tag in tags) + bytes(4)
    return head + directory + struct.pack(f"{order}HHH", 16, 16, 16) + data


@pytest.mark.parametrize("step", [pytest.param(4, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_each_has_the_vector_of_its_rendering(step: int, weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    chosen = [each for each in WRITTEN if each not in REFUSED][::step]
    for format, mode in chosen:
        (folder / f"{format}-{mode.replace(';', '-')}.png").write_bytes(WRITTEN[format, mode])
    report = embed(folder, tmp_path / "vectors.db", weights=weights, device="cpu", engine=installed_engines()[0])
    assert (report.embedded, report.failed) == (len(chosen), 0)
    for name, vector in zip(*read(str(tmp_path / "vectors.db")), strict=True):
        expected = reference.vector(reference.upright(folder / name), weights)
        assert reference.cosine(vector, expected) >= 0.9999, name
