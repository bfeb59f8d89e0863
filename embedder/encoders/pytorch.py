"""The reference engine: torch itself, on the CPU or on CUDA."""

from __future__ import annotations

import numpy as np
import torch
import torchvision
from torch import nn

from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.records import Pixels, Vectors
from embedder.weights import Weights, load_state_dict

RANDOM_SEED = 0
CPU_BATCH = 16
CUDA_BATCH = 256


def build_backbone(model: Model, weights: Weights) -> nn.Module:
    """Return the torchvision model without its classifier, in evaluation mode, float32, on the CPU.

    Raises:
        ConfigurationError: the weights cannot be had or do not fit.
    """
    state = load_state_dict(weights, model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        module: nn.Module = torchvision.models.get_model(model.name, weights=None)
    module.fc = nn.Identity()
    if state is not None:
        # The classifier may be missing or fitted to other classes; it is not used.
        backbone = {name: value for name, value in state.items() if not name.startswith("fc.")}
        _load_into(module, backbone, model, weights)
    return module.eval().requires_grad_(False)


def _load_into(module: nn.Module, state: dict[str, torch.Tensor], model: Model, weights: Weights) -> None:
    expected = module.state_dict()
    # Old files lack this counter, which only training uses.
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    extra = [name for name in state if name not in expected]
    wrong = [name for name in state if name in expected and state[name].shape != expected[name].shape]
    for names, what in ((missing, "lacks"), (extra, "has the unknown"), (wrong, "has another shape of")):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ConfigurationError(
                f"the weights {weights.choice} do not fit {model.name}: the file {what} {names[0]}{others}; "
                f"expected the state dict of torchvision's {model.name}"
            )
    module.load_state_dict(state, strict=False)


class NormalizedBackbone(nn.Module):
    """A backbone with the normalisation in front: (B, 3, H, W) float32 of 0..255 to (B, dimension)."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: Model, weights: Weights) -> None:
        super().__init__()
        self.backbone = build_backbone(model, weights)
        preprocessing = model.preprocessing
        self.register_buffer("mean", 255 * torch.tensor(preprocessing.mean).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(preprocessing.std).view(3, 1, 1))
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.backbone((images - self.mean) / self.std)
        return vectors


@torch.inference_mode()
def reference_vectors(model: Model, weights: Weights, pixels: Pixels) -> Vectors:
    """What eager float32 torch gives for pictures, (B, crop, crop, 3) → (B, dimension): the measure of all."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    vectors: Vectors = NormalizedBackbone(model, weights)(images).numpy()
    return vectors


class TorchEncoder:
    """A torchvision backbone run by torch; see `Encoder`.

    Args:
        device: `auto`, `cpu` or `cuda`.

    Raises:
        ConfigurationError: there is no such device, or the weights cannot be had or do not fit.
    """

    engine = "torch"

    def __init__(self, model: Model, weights: Weights, *, device: str) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError(
                "--device cuda: torch finds no CUDA device here; use --device cpu, or check the driver with nvidia-smi"
            )
        use_cuda = device != "cpu" and torch.cuda.is_available()
        self.device = "cuda" if use_cuda else "cpu"
        self.batch_size = CUDA_BATCH if use_cuda else CPU_BATCH
        self.dimension = model.dimension
        self.module = NormalizedBackbone(model, weights).to(self.device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Vectors:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels-last already: nothing is moved.
        images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float()
        vectors: Vectors = np.ascontiguousarray(self.module(images).float().cpu().numpy())
        return vectors
