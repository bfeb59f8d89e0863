"""Weights for any model: seeded, nothing left at a default that would hide a mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from tests.seeded_weights import pixels

NORMS = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.GroupNorm)


def architecture(name: str) -> nn.Module:
    """torchvision's model as it builds it for its published weights, without them."""
    google = {"transform_input": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    built: nn.Module = get_model(name, weights=None, **google)
    return built


def write_backbone(name: str, path: Path, seed: int = 5) -> None:
    """Save a state dict of torchvision's whole model, the classifier included; see `lively`."""
    side = get_model_weights(name).DEFAULT.transforms().crop_size[0]
    torch.save(lively(lambda: architecture(name), side, seed).state_dict(), path)


def lively(make: Callable[[], nn.Module], side: int, seed: int = 5) -> nn.Module:
    """Make a model in which every norm, scale and token does something.

    What is initialised with zeros, ones or 1e-6 (norms, class tokens, the scales of ConvNeXt's layers) would
    make a part of the model do nothing, and no comparison would see it.

    Args:
        make: makes the model, which takes pictures of (B, 3, side, side).
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = make().train()
        batch_norms = False
        for module in model.modules():
            if isinstance(module, NORMS) and module.weight is not None:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # the statistics become the average over what the model is shown
                batch_norms = True
        for part, values in model.named_parameters():
            if any(word in part for word in ("layer_scale", "token", "gamma")):
                values.normal_(0, 0.5)
        if batch_norms:
            for batch in torch.split(nn.functional.interpolate(pixels(16), side), 8):
                model(batch)
    return model.eval()
