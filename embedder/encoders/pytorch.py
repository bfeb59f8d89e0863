"""torch itself: the reference by which every engine is measured, and the engine that is always there."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from embedder.encoders import Arithmetic, Network
from embedder.encoders.lanes import usual_batch
from embedder.records import Pixels, Vectors
from embedder.system.cores import usable_cores

if TYPE_CHECKING:
    from embedder.encoders.prepared import Prepared

logger = logging.getLogger("embedder")

DTYPES: dict[Arithmetic, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Normalized(nn.Module):
    """A network with the normalisation in front: (B, 3, H, W) float32 of 0..255 to (B, dimension) float32."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, network: Network, arithmetic: Arithmetic = "float32") -> None:
        super().__init__()
        self.dtype = DTYPES[arithmetic]
        self.backbone = network.module()
        preprocessing = network.preprocessing
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1))
        self.eval()

    def optimized(self) -> Normalized:
        """Fold batch norms, convert the weights to the arithmetic, and store them channels-last."""
        self.backbone = folded(self.backbone).to(self.dtype)
        for values in (*self.parameters(), *self.buffers()):
            if values.dim() == 4:  # Module.to would try five dimensions, too, and fail: Swin's masks have them
                values.data = values.data.to(memory_format=torch.channels_last)
        return self

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # The normalisation stays in float32: it is where half precision would cost most.
        vectors: torch.Tensor = self.backbone(((images - self.mean) / self.std).to(self.dtype))
        return vectors.float()


@torch.inference_mode()
def reference_vectors(network: Network, pixels: Pixels) -> Vectors:
    """Encode pictures with eager float32 torch, the measure of every engine: (B, crop, crop, 3) to (B, dimension)."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    module = Normalized(network)
    vectors: Vectors = torch.cat([module(part) for part in torch.split(images, usual_batch(pixels.shape[1]))]).numpy()
    return vectors


def folded(backbone: nn.Module) -> nn.Module:
    """Fold batch norms into the convolutions before them; return a backbone that cannot be traced as it is."""
    from torch.fx.experimental.optimization import fuse

    # Tracing raises many things for models whose shape depends on the data; none matters here.
    try:
        fused: nn.Module = fuse(backbone)
    except Exception as error:
        logger.debug("batch norms are not folded: %s", error)
        return backbone
    return fused.eval().requires_grad_(False)


class TorchEncoder:
    """A network that torch runs on the CPU; see `Encoder`.

    Raises:
        ConfigurationError: the weights cannot be had or do not fit.
    """

    engine = "torch"
    lanes = 1
    device = "cpu"

    def __init__(self, prepared: Prepared, arithmetic: Arithmetic = "float32", _batch_size: int | None = None) -> None:
        self.arithmetic = arithmetic
        self.dimension = prepared.network.dimension
        self.batch_size = usual_batch(prepared.network.preprocessing.crop)
        torch.set_num_threads(usable_cores())
        self.module = Normalized(prepared.network, arithmetic).optimized()

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Vectors:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels-last already: nothing is moved.
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
        vectors: Vectors = np.ascontiguousarray(self.module(images).numpy())
        return vectors
