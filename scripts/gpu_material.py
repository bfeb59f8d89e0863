"""What `scripts/gpu` works on where nothing is at hand: pictures, and a network's weights. Also a plugin of pytest.

As a plugin it gives the GPU's tests their fixtures, without all that tests/conftest.py imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from embedder.encoders.golden import golden_pictures

SIDES = (500, 375)


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Write `count` different JPEGs of 500×375, whose spectrum is that of photographs."""
    folder.mkdir(parents=True)
    large = golden_pictures(640)
    chance = np.random.default_rng(0)
    paths = []
    for number in range(count):
        left, top = (int(chance.integers(0, 640 - side)) for side in SIDES)
        part = large[number % len(large), top : top + SIDES[1], left : left + SIDES[0], :: (-1) ** number]
        path = folder / f"{number:05d}.jpg"
        Image.fromarray(np.ascontiguousarray(part)).save(path, quality=90)
        paths.append(path)
    return paths


def write_weights(path: Path) -> None:
    """Save a ResNet18 as it is initialised, its batch norms adjusted to a few pictures, which need no file."""
    from tests.seeded_weights import normalized, write_resnet18

    shown = golden_pictures(128)
    write_resnet18(path, seed=0, shown=normalized(shown), batch=len(shown), shift=0)


def pytest_configure(config: Any) -> None:
    """Give the tests the fixture that they ask for; pytest need not be installed for the rest of this module."""
    import pytest

    class Fixtures:
        @pytest.fixture(scope="session")
        def weights(self, tmp_path_factory: Any) -> Path:
            path: Path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
            write_weights(path)
            return path

    config.pluginmanager.register(Fixtures(), "gpu fixtures")
