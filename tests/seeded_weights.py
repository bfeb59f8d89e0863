"""Weights for tests, since the published ones cannot be had everywhere: seeded, nothing left at a default."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torchvision.models import resnet18

from tests.photographs import variation

SHIFT = 1.5


def normalized(images: np.ndarray) -> torch.Tensor:
    """Pictures, (B, H, W, 3) uint8, as the network expects them."""
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    return (scaled - mean) / deviation


def pixels(count: int, first_seed: int = 1000) -> torch.Tensor:
    """Photographs as the network expects them, small so that making weights stays quick."""
    images = [variation(first_seed + number).resize((128, 128)) for number in range(count)]
    return normalized(np.stack([np.asarray(image) for image in images]))


def write_resnet18(
    path: Path, seed: int = 18, *, shown: torch.Tensor | None = None, batch: int = 16, shift: float = SHIFT
) -> None:
    """Save a ResNet18 whose batch-norm layers all do something.

    With untouched statistics, scales and shifts a wrongly folded or forgotten batch norm changes nothing, and
    no test would see it. The last shift cuts off many activations, as in a trained network: the vectors of an
    untrained one nearly coincide, and a comparison by cosine would pass the wrong picture.

    Args:
        shown: what the statistics are made of; 32 photographs by default.
        batch: how many of them at a time.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = resnet18(weights=None).train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the statistics become the average over what the model is shown
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
        model.layer4[-1].bn2.bias.sub_(shift)
        for part in torch.split(pixels(32) if shown is None else shown, batch):
            model(part)
        torch.save(model.state_dict(), path)


def write_plain_resnet18(path: Path, seed: int = 0) -> None:
    """Save a ResNet18 as it is initialised, its batch-norm statistics moved by a few batches of photographs.

    It reacts to small changes of the pixels about as much as a trained one. The other, made to tell pictures
    apart, reacts so much more that rounding every pixel anew costs it a cosine of 0.9998.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = resnet18(weights=None).train()
        for batch in torch.split(pixels(32), 8):
            model(batch)
        torch.save(model.state_dict(), path)
