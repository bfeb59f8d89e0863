"""What families have in common: seeded weights, and state dicts that fit."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

SEED = 0
"""The seed of a model's weights before a state dict is loaded."""


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a module with seeded weights, in evaluation mode. The program's own chance is left alone."""
    import torch

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # a later library will initialise the weights differently
        torch.manual_seed(SEED)
        module = make()
    return module.eval().requires_grad_(False)


def fit(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a state dict that has every parameter of a module and no other.

    Raises:
        ValueError: a parameter is missing, unknown, or of another shape; the text names it.
    """
    try:
        found = module.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(str(error).split("\n")[-1].strip().rstrip(".")) from None
    # Old files lack this counter. Only training uses it.
    missing = [name for name in found.missing_keys if not name.endswith("num_batches_tracked")]
    for names, what in ((missing, "lacks"), (found.unexpected_keys, "has the unknown")):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"the file {what} {names[0]}{others}")


def published_digest(address: str) -> str:
    """Return the digits of a file's SHA-256 that its name ends with, as PyTorch's files do; empty if it has none."""
    found = re.search(r"-([0-9a-f]{8,})\.pth$", address)
    return found[1] if found else ""
