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
        self.module = build_backbone(model, weights).to(self.device).to(memory_format=torch.channels_last)
        preprocessing = model.preprocessing
        self.mean = torch.tensor(preprocessing.mean, device=self.device).view(3, 1, 1)
        self.std = torch.tensor(preprocessing.std, device=self.device).view(3, 1, 1)

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Vectors:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels-last already: nothing is moved.
        images = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2)
        normalized = (images.float().div_(255) - self.mean) / self.std
        vectors: Vectors = np.ascontiguousarray(self.module(normalized).float().cpu().numpy())
        return vectors
