"""The first family: torchvision's classification models without their classifiers.

The classifier is found by the model's structure, not by a name: it is the last layer that gives one number for each
class, a linear one or, in SqueezeNet, a convolution. Its input is the embedding. Layers that follow it stay (SqueezeNet
averages over the picture). Branches that only training uses have such a layer too, and are removed.
"""

from __future__ import annotations

import re
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.records import Preprocessing
from embedder.system.files import find_folder

find_folder("torch")  # torch looks for one while it is imported, and would end with a traceback

import torch  # noqa: E402
import torchvision  # noqa: E402
from torch import nn  # noqa: E402

SEED = 0
"""Of the weights that a model has before any are loaded."""

OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Parts of a DenseNet as its published files name them: `norm.1.weight` for today's `norm1.weight`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A model of torchvision without its classifier; see `embedder.models.Backbone`."""

    module: nn.Module
    dimension: int
    unused: tuple[str, ...]
    """Prefixes of the classifiers' parameters, which a state dict may have or lack."""

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        used = OrderedDict(
            (OLD_NAME.sub(r"\1\2", name), value) for name, value in state.items() if not name.startswith(self.unused)
        )
        # Modules read files older than themselves by the versions in these. Where a file has no versions, only the
        # model as a whole is taken to be as it is today: MNASNet insists, and the parts of others rename old names.
        current = self.module.state_dict()._metadata  # type: ignore[attr-defined]
        used._metadata = getattr(state, "_metadata", {"": current[""]})  # type: ignore[attr-defined]
        try:
            found = self.module.load_state_dict(used, strict=False)
        except RuntimeError as error:
            raise ValueError(str(error).split("\n")[-1].strip().rstrip(".")) from None
        # Old files lack this counter, which only training uses.
        missing = [name for name in found.missing_keys if not name.endswith("num_batches_tracked")]
        for names, what in ((missing, "lacks"), (found.unexpected_keys, "has the unknown")):
            if names:
                others = f" and {len(names) - 1} more" if len(names) > 1 else ""
                raise ValueError(f"the file {what} {names[0]}{others}")


def names() -> list[str]:
    """Return the names of torchvision's classification models."""
    return [str(name) for name in torchvision.models.list_models(module=torchvision.models)]


def find(name: str) -> Model:
    """Describe a model; see `Family`."""
    known = names()
    if name not in known:
        close = get_close_matches(name.lower(), known, n=4, cutoff=0.5)
        raise ConfigurationError(
            f"there is no model {name!r}; "
            + (f"close to it are: {', '.join(close)}" if close else f"torchvision has: {', '.join(known)}")
        )
    published = _published_weights(name)
    digest = re.search(r"-([0-9a-f]{8,})\.pth$", published.url)
    preset = published.transforms()
    interpolation = preset.interpolation.value
    if digest is None or len(preset.resize_size) != 1 or interpolation not in ("bilinear", "bicubic"):
        raise ConfigurationError(
            f"this version of torchvision prepares pictures for {name} in a way that embedder does not know; choose "
            "another --model"
        )
    return Model(
        name=name,
        url=published.url,
        digest=digest[1],
        dimension=_without_classifier(name).dimension,
        preprocessing=Preprocessing(
            resize=preset.resize_size[0],
            crop=preset.crop_size[0],
            interpolation=interpolation,
            mean=tuple(preset.mean),
            std=tuple(preset.std),
        ),
    )


def build(model: Model) -> Backbone:
    """Make a model; see `Family`."""
    return _without_classifier(model.name)


def _published_weights(name: str) -> Any:
    """Return torchvision's description of a model's default weights: `url`, `transforms()`, `meta`."""
    return torchvision.models.get_model_weights(name).DEFAULT


def _without_classifier(name: str) -> Backbone:
    published = _published_weights(name)
    module = _built(name)
    crop = published.transforms().crop_size[0]
    if getattr(module, "image_size", crop) != crop:  # a vision transformer has one position for each patch
        module = _built(name, image_size=crop)
    if hasattr(module, "transform_input"):  # Google's two were trained with another normalisation, and convert to it
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


def _built(name: str, **options: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of another initialisation in a later torchvision
        torch.manual_seed(SEED)
        module: nn.Module = torchvision.models.get_model(name, weights=None, **options)
    return module


def _outputs(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, nn.Linear):
        return (layer.out_features,)
    return (layer.out_channels,) if isinstance(layer, nn.Conv2d) else ()


def _holder(module: nn.Module, classifier: str) -> str:
    """Return the outermost part of the model whose only parameters were the classifier's: a transformer's `heads`."""
    parts = classifier.split(".")
    outwards = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return next(name for name in outwards if not module.get_submodule(name).state_dict())
