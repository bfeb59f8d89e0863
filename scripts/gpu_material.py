"""What `scripts/gpu` works on where nothing is at hand: pictures, and a network's weights. Also a plugin of pytest.

As a plugin it gives the GPU's tests their fixtures, without all that tests/conftest.py imports.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from embedder.encoders.golden import golden_pictures

if TYPE_CHECKING:
    import torch

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
    """Save a ResNet18 as it is initialised, its batch norms adjusted to a few pictures."""
    import torch
    from torchvision.models import resnet18

    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = resnet18(weights=None).train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the statistics become the average over what the model is shown
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        model(_normalized(golden_pictures(128)))
        torch.save(model.state_dict(), path)


def _normalized(pixels: np.ndarray) -> torch.Tensor:
    import torch

    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 1, 3, 1, 1)
    normalized: torch.Tensor = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / deviation
    return normalized


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
