"""HEIC and HEIF: the same promises as for the other formats."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
from typing import Any

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageOps

from embedder.decoding.processes import IsolatedDecoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from embedder.system.threads import Budget
from tests.cli import ROOT
from tests.embedder import corpus, reference
from tests.embedder.decoding.broken import decode, refusal
from tests.reliability.decoding import FAILURES, see_through, textured

LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}


def heic(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(image).save(buffer, **{**LOSSLESS, **options})
    return buffer.getvalue()


def is_close(found: np.ndarray, picture: Image.Image, levels: float = 1) -> None:
    expected = reference.pixels(picture.convert("RGB"))
    assert np.abs(found.astype(int) - expected).max() <= levels


def test_the_pixels() -> None:
    found = decode(heic(textured()))
    assert (found.width, found.height, found.format, found.notices) == (61, 47, "HEIF", ())
    is_close(found.pixels, textured())
    is_close(decode(heic(textured().convert("L"))).pixels, textured().convert("L"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[corpus.ORIENTATION] = orientation
    image = textured(3, (64, 48))
    with Image.open(io.BytesIO(encoded_png(image, exif))) as opened:
        upright = ImageOps.exif_transpose(opened).convert("RGB")
    found = decode(heic(image, exif=exif.tobytes()))
    assert (found.width, found.height) == upright.size
    is_close(found.pixels, upright)


def encoded_png(image: Image.Image, exif: Image.Exif) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", exif=exif)
    return buffer.getvalue()


def test_transparency_is_on_white() -> None:
    with Image.open(io.BytesIO(encoded_png(see_through(), Image.Exif()))) as opened:
        white = Image.alpha_composite(Image.new("RGBA", opened.size, "white"), opened.convert("RGBA"))
    is_close(decode(heic(see_through())).pixels, white, levels=2)


def test_ten_bits_a_sample() -> None:
    image = textured(3, (64, 48))
    deep = np.asarray(image).astype(np.uint16) * 257
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", image.size, deep.tobytes()).save(buffer, **LOSSLESS)
    assert pillow_heif.open_heif(buffer.getvalue()).info["bit_depth"] == 10
    is_close(decode(buffer.getvalue()).pixels, image, levels=1)


def test_a_grid_of_tiles_is_one_picture() -> None:
    image = textured(3, (300, 200))
    whole = heic(image, tile_size=128)
    assert b"grid" in whole
    found = decode(whole)
    assert (found.width, found.height) == (300, 200)
    is_close(found.pixels, image)


def test_of_several_pictures_the_first_one_counts() -> None:
    several = pillow_heif.from_pillow(textured(1))
    several.add_from_pillow(textured(2))
    buffer = io.BytesIO()
    several.save(buffer, primary_index=1, **LOSSLESS)
    is_close(decode(buffer.getvalue()).pixels, textured(2))  # that which the file calls the primary one


@pytest.mark.parametrize("size", [(20_000, 20_000), (50_000, 50_000)])
def test_a_bomb_is_refused(size: tuple[int, int]) -> None:
    for image in (textured(), textured(3, (64, 64))):  # a part of the coded picture, and all of it
        data = bytearray(heic(image))
        at = data.index(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", *size)
        assert refusal(bytes(data)).error == "TooManyPixels"


def test_a_cut_one_is_never_guessed_at() -> None:
    for whole in (heic(textured()), heic(textured(3, (300, 200)), tile_size=128), heic(see_through())):
        for share in (0.02, 0.3, 0.6, 0.9, 0.99):
            assert refusal(whole[: int(len(whole) * share)]).error == "Corrupt", share
        assert refusal(whole[:-1]).error == "Corrupt"


@pytest.mark.filterwarnings("ignore")
def test_damaged_ones_are_a_picture_or_an_error() -> None:
    """In the processes of a run, none of which crashes or hangs."""
    chance = random.Random(1)
    whole = [heic(textured()), heic(textured(3, (300, 200)), tile_size=128), heic(see_through())]
    decoder = IsolatedDecoder(IMAGENET_PRESET, max_pixels=10**6, reserve=Budget(1 << 30).reserve)
    outcomes = set()
    try:
        for _ in range(120):
            data = bytearray(chance.choice(whole))
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(min(len(data), chance.choice((64, 700, 10**9))))] = chance.randrange(256)
            try:
                outcomes.add(str(decoder.decode(bytes(data)).pixels.shape))
            except ImageError as error:
                outcomes.add(error.error)
    finally:
        decoder.close()
    assert outcomes <= {*FAILURES, "(224, 224, 3)"}
    assert {"Corrupt", "(224, 224, 3)"} <= outcomes


WITHOUT = """
import sys
sys.modules["pillow_heif"] = None
import importlib.util
from embedder.decoding import heif
from embedder.decoding.decoder import Decoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
try: Decoder(IMAGENET_PRESET, max_pixels=10**6).decode(sys.stdin.buffer.read())
except ImageError as error: print(heif.is_installed(), error.error, error.message)
"""


def test_without_the_package_its_name_is_said() -> None:
    command = [sys.executable, "-c", WITHOUT]
    done = subprocess.run(command, cwd=ROOT, input=heic(textured()), capture_output=True, check=True)
    assert done.stdout.decode().startswith("False Unsupported an HEIC picture")
    assert b"pip install 'embedder[heif]'" in done.stdout


def test_it_is_imported_for_such_a_file_alone() -> None:
    program = WITHOUT.replace('sys.modules["pillow_heif"] = None', "").replace("except", "finally: pass\n#")
    program += 'print("pillow_heif" in sys.modules)'
    for data, imported in ((heic(textured()), b"True"), (encoded_png(textured(), Image.Exif()), b"False")):
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, cwd=ROOT, input=data, capture_output=True, check=True)
        assert done.stdout.strip() == imported
