"""torchvision's classification models without their classifiers, told by their structure and not by their names.

The classifier is the last layer that gives one number for each class: a linear one, or in SqueezeNet a
convolution. What goes into it is the embedding; what follows it (SqueezeNet averages over the picture)
stays. Other layers of that kind stand in branches that only training uses, and those go.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedder.system.temporary import find_folder

find_folder("torch")  # it looks for one while it is imported, and would end with a traceback

import torch  # noqa: E402
import torchvision  # noqa: E402
from torch import nn  # noqa: E402

SEED = 0
"""Of the weights that a model has before any are loaded."""


OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Parts of a DenseNet as its published files have them: `norm.1.weight` for today's `norm1.weight`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A model without its classifier, with seeded weights, in evaluation mode, float32, on the CPU."""

    module: nn.Module
    """(B, 3, crop, crop) normalised pixels to (B, dimension)."""
    dimension: int
    unused: tuple[str, ...]
    """How the names of parameters begin that a state dict may have, or lack, for the classifiers."""


def names() -> list[str]:
    """All that `build` takes: torchvision's classification models."""
    return [str(name) for name in torchvision.models.list_models(module=torchvision.models)]


def published_weights(name: str) -> Any:
    """torchvision's description of a model's default weights: `url`, `transforms()`, `meta`."""
    return torchvision.models.get_model_weights(name).DEFAULT


def build(name: str) -> Backbone:
    """Make a model and take its classifier off."""
    published = published_weights(name)
    module = _built(name)
    crop = published.transforms().crop_size[0]
    if getattr(module, "image_size", crop) != crop:  # a vision transformer has one position for each patch
        module = _built(name, image_size=crop)
    if hasattr(module, "transform_input"):  # Google's two were published for another normalisation, which they do
        module.transform_input = True  # type: ignore[assignment]

    classes = len(published.meta["categories"])
    *auxiliary, classifier = (name for name, layer in module.named_modules() if classes in _outputs(layer))
    removed: Any = module.get_submodule(classifier)
    dimension = removed.in_features if isinstance(removed, nn.Linear) else removed.in_channels
    module.set_submodule(classifier, nn.Identity())
    branches = dict.fromkeys(name.split(".")[0] for name in auxiliary)
    for branch in branches:
        setattr(module, branch, None)
    unused = tuple(f"{name}." for name in (_holder(module, classifier), *branches))
    return Backbone(module=module.eval().requires_grad_(False), dimension=int(dimension), unused=unused)


def load(backbone: Backbone, state: Mapping[str, torch.Tensor]) -> None:
    """Give a backbone the weights of a state dict, whatever classifier that has, or none.

    Raises:
        ValueError: it does not fit; the text says where.
    """
    used = OrderedDict(
        (OLD_NAME.sub(r"\1\2", name), value) for name, value in state.items() if not name.startswith(backbone.unused)
    )
    # By the versions in it, modules read files older than themselves. Where a file has none, only the model as
    # a whole is taken to be as it is today: MNASNet insists, and the parts of others rename what has an old name.
    current = backbone.module.state_dict()._metadata  # type: ignore[attr-defined]
    used._metadata = getattr(state, "_metadata", {"": current[""]})  # type: ignore[attr-defined]
    try:
        found = backbone.module.load_state_dict(used, strict=False)
    except RuntimeError as error:
        raise ValueError(str(error).split("\n")[-1].strip().rstrip(".")) from None
    # Old files lack this counter, which only training uses.
    missing = [name for name in found.missing_keys if not name.endswith("num_batches_tracked")]
    for names, what in ((missing, "lacks"), (found.unexpected_keys, "has the unknown")):
        if names:
            others = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"the file {what} {names[0]}{others}")


def _built(name: str, **options: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # that torchvision may initialise some otherwise one day
        torch.manual_seed(SEED)
        module: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return module


def _outputs(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, nn.Linear):
        return (layer.out_features,)
    return (layer.out_channels,) if isinstance(layer, nn.Conv2d) else ()


def _holder(module: nn.Module, classifier: str) -> str:
    """The outermost part of the model that had no parameters but the classifier's, as `heads` of a transformer."""
    parts = classifier.split(".")
    outwards = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return next(name for name in outwards if not module.get_submodule(name).state_dict())
