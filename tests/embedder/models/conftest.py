"""Fixtures for the tests of models."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.photographs import COLOURFUL, folder, variation


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large photograph, and two of a size and an orientation that resizing has to round."""
    place = tmp_path_factory.mktemp("images")
    shutil.copyfile(folder() / COLOURFUL[0], place / COLOURFUL[0])
    variation(3).save(place / "wide.png")
    variation(5).transpose(Image.Transpose.ROTATE_90).save(place / "tall.png")
    return place
