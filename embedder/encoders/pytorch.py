"""torch itself: the reference by which every engine is measured, and the engine that is always there."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import nn

from embedder.errors import ConfigurationError
from embedder.models import backbones
from embedder.models.catalog import Model
from embedder.models.weights import Weights, load_state_dict
from embedder.records import Pixels, Vectors
from embedder.system.cores import usable_cores

logger = logging.getLogger("embedder")

BATCH = 16


def build_backbone(model: Model, weights: Weights) -> nn.Module:
    """Return the torchvision model without its classifier, in evaluation mode, float32, on the CPU.

    Raises:
        ConfigurationError: the weights cannot be had or do not fit.
    """
    state = load_state_dict(weights, model)
    backbone = backbones.build(model.name)
    if state is not None:
        try:
            backbones.load(backbone, state)
        except ValueError as error:
            raise ConfigurationError(
                f"the weights {weights.choice} do not fit {model.name}: {error}; expected the state dict of "
                f"torchvision's {model.name}"
            ) from None
    return backbone.module


class NormalizedBackbone(nn.Module):
    """A backbone with the normalisation in front: (B, 3, H, W) float32 of 0..255 to (B, dimension)."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: Model, weights: Weights) -> None:
        super().__init__()
        self.dtype = torch.float32
        """In which the backbone computes."""
        self.backbone = build_backbone(model, weights)
        preprocessing = model.preprocessing
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1))
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # The normalisation stays in float32: it is where half precision would cost most.
        vectors: torch.Tensor = self.backbone(((images - self.mean) / self.std).to(self.dtype))
        return vectors.float()


@torch.inference_mode()
def reference_vectors(model: Model, weights: Weights, pixels: Pixels) -> Vectors:
    """What eager float32 torch gives for pictures, (B, crop, crop, 3) → (B, dimension): the measure of all."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    vectors: Vectors = NormalizedBackbone(model, weights)(images).numpy()
    return vectors


def folded(backbone: nn.Module) -> nn.Module:
    """Fold batch norms into the convolutions before them; what cannot be traced stays as it is."""
    from torch.fx.experimental.optimization import fuse

    # Tracing raises many things for models whose shape depends on the data; none matters here.
    try:
        fused: nn.Module = fuse(backbone)
    except Exception as error:
        logger.debug("batch norms are not folded: %s", error)
        return backbone
    return fused.eval().requires_grad_(False)


class TorchEncoder:
    """A torchvision backbone run by torch on the CPU; see `Encoder`.

    Raises:
        ConfigurationError: the weights cannot be had or do not fit.
    """

    engine = "torch"
    lanes = 1
    device = "cpu"
    batch_size = BATCH

    def __init__(self, model: Model, weights: Weights) -> None:
        self.dimension = model.dimension
        torch.set_num_threads(usable_cores())
        module = NormalizedBackbone(model, weights)
        module.backbone = folded(module.backbone)
        self.module = module.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Vectors:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels-last already: nothing is moved.
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        vectors: Vectors = np.ascontiguousarray(self.module(images).numpy())
        return vectors
