"""Fingerprints notice libraries that decode or resize otherwise, and do not mind how they round."""

from __future__ import annotations

import io
import os
import re
import warnings
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import Image, ImageFile, UnidentifiedImageError

from embedder.decoding.decoder import Decoder
from embedder.decoding.probe import preprocessing_version, version_by
from embedder.records import PREPROCESSING_VERSION, Pixels, Preprocessing
from tests.cli import ROOT, Cli
from tests.embedder.stored import fill, stored

OTHER = re.compile(rf"{PREPROCESSING_VERSION}-[0-9a-f]{{8}}")


def decoded(file: bytes, preprocessing: Preprocessing, exact: bool) -> Pixels:
    return Decoder(preprocessing, max_pixels=1 << 24, exact=exact).decode(file).pixels


def test_this_installation_gives_the_pixels_of_the_fingerprint() -> None:
    assert preprocessing_version() == PREPROCESSING_VERSION == version_by(decoded)


def test_rounding_is_the_same_version() -> None:
    def rounded(file: bytes, preprocessing: Preprocessing, exact: bool) -> Pixels:
        pixels = decoded(file, preprocessing, exact)
        return np.where(pixels > 128, pixels - 1, pixels).astype(np.uint8)

    assert version_by(rounded) == PREPROCESSING_VERSION


def test_a_jpeg_library_that_interpolates_otherwise_is_another_version() -> None:
    def faster(file: bytes, preprocessing: Preprocessing, exact: bool) -> Pixels:
        if not file.startswith(b"\xff\xd8"):
            return decoded(file, preprocessing, exact)
        pixels = simplejpeg.decode_jpeg(file, fastdct=True, fastupsample=True)
        return decoded(png(pixels), preprocessing, exact)

    assert OTHER.fullmatch(version_by(faster))


def test_another_filter_is_another_version() -> None:
    def boxed(file: bytes, preprocessing: Preprocessing, _: bool) -> Pixels:
        image = Image.open(io.BytesIO(file)).convert("RGB")
        side = preprocessing.crop
        return np.asarray(image.resize((side, side), Image.Resampling.BOX))

    assert OTHER.fullmatch(version_by(boxed))


def test_a_format_that_is_not_known_changes_nothing() -> None:
    def without_avif(file: bytes, preprocessing: Preprocessing, exact: bool) -> Pixels:
        if file[4:8] == b"ftyp":
            raise UnidentifiedImageError
        return decoded(file, preprocessing, exact)

    assert version_by(without_avif) == PREPROCESSING_VERSION


def test_looking_changes_no_setting_of_a_program() -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)
    preprocessing_version.__wrapped__()
    assert (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, list(warnings.filters)) == before


STAND_IN = """
import importlib.util, pathlib, sys
from importlib.machinery import PathFinder
spec = PathFinder.find_spec("simplejpeg", [{packages!r}])
module = importlib.util.module_from_spec(spec)
sys.modules["simplejpeg"] = module
spec.loader.exec_module(module)
exactly = module.decode_jpeg
module.decode_jpeg = lambda *words, **named: exactly(*words, **named, fastdct=True, fastupsample=True)
"""
"""A later version of simplejpeg, as it might be: other defaults."""


def test_a_query_is_kept_from_vectors_of_other_pixels(cli: Cli, photo_folder: Path) -> None:
    (cli.folder / "later").mkdir()
    packages = str(Path(simplejpeg.__file__).parents[1])
    (cli.folder / "later" / "simplejpeg.py").write_text(STAND_IN.format(packages=packages), encoding="utf-8")
    fill(str(cli.folder / "v.db"), [stored("a")])
    env = {"PYTHONPATH": os.pathsep.join([str(cli.folder / "later"), str(ROOT)])}
    refused = cli("similar", "v.db", photo_folder / "photo-0000.jpg", "--weights", "random", env=env)
    assert refused.returncode == 2, refused.stderr
    assert "give other pixels than those that embedder was tested with" in refused.stderr
    assert re.search(
        rf"made by resnet18/random/{OTHER.pattern}/float32, and the two cannot be compared", refused.stderr
    )


def png(pixels: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
