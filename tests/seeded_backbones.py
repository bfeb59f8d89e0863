"""Weights for any torchvision model: seeded, nothing left at a default that would hide a mistake."""

from __future__ import annotations

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
    """Save a state dict, the classifier included, in which every norm, scale and token does something.

    What is initialised with zeros, ones or 1e-6 (norms, class tokens, the scales of ConvNeXt's layers) would
    make a part of the model do nothing, and no comparison would see it.
    """
    side = get_model_weights(name).DEFAULT.transforms().crop_size[0]
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = architecture(name).train()
        for module in model.modules():
            if isinstance(module, NORMS):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = None  # the statistics become the average over what the model is shown
        for part, values in model.named_parameters():
            if "layer_scale" in part or "token" in part:
                values.normal_(0, 0.5)
        for batch in torch.split(nn.functional.interpolate(pixels(16), side), 8):
            model(batch)
        torch.save(model.state_dict(), path)
