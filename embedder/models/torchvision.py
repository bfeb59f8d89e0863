"""The first family: torchvision's classification models without their classifiers.

`build` finds the classifier by the model's structure, not by a name. The classifier is the last layer with one output
for each class: a linear layer or, in SqueezeNet, a convolution. Its input is the embedding. Layers after it stay
(SqueezeNet averages over the picture). Branches that only training uses have such a layer too; they are removed.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.models.loading import fit, published_digest, seeded
from embedder.records import Preprocessing
from embedder.system.files import find_folder

find_folder("torch")  # torch needs a temporary folder while it is imported, and would end with a traceback

import torch  # noqa: E402
import torchvision  # noqa: E402
from torch import nn  # noqa: E402

OLD_NAME = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
"""Matches the old names in DenseNet's published files: `norm.1.weight` is `norm1.weight` today."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlessModel:
    """A model of torchvision without its classifier; a `Backbone`."""

    module: nn.Module
    dimension: int
    unused: tuple[str, ...]
    """The prefixes of the classifiers' parameters. A state dict may contain them."""

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        used = OrderedDict(
            (OLD_NAME.sub(r"\1\2", name), value) for name, value in state.items() if not name.startswith(self.unused)
        )
        # A module uses the version in this metadata to read files of older code. If a file has no versions, give only
        # the whole model today's version, which MNASNet requires; without one, the parts of others rename old names.
        current = self.module.state_dict()._metadata  # type: ignore[attr-defined]
        used._metadata = getattr(state, "_metadata", {"": current[""]})  # type: ignore[attr-defined]
        fit(self.module, used)


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
            + (f"similar names are: {', '.join(close)}" if close else f"torchvision has: {', '.join(known)}")
        )
    published = _published_weights(name)
    digest = published_digest(published.url)
    preset = published.transforms()
    interpolation = preset.interpolation.value
    if not digest or len(preset.resize_size) != 1 or interpolation not in ("bilinear", "bicubic"):
        raise ConfigurationError(
            f"this version of torchvision preprocesses images for {name} in a way that embedder does not support; "
            "choose another --model"
        )
    return Model(
        name=name,
        url=published.url,
        digest=digest,
        dimension=_without_classifier(name).dimension,
        preprocessing=Preprocessing(
            resize=preset.resize_size[0],
            crop=preset.crop_size[0],
            interpolation=interpolation,
            mean=tuple(preset.mean),
            std=tuple(preset.std),
        ),
    )


def build(model: Model) -> HeadlessModel:
    """Make a model; see `Family`."""
    return _without_classifier(model.name)


def _published_weights(name: str) -> Any:
    """Return torchvision's description of a model's default weights: `url`, `transforms()`, `meta`."""
    return torchvision.models.get_model_weights(name).DEFAULT


def _without_classifier(name: str) -> HeadlessModel:
    published = _published_weights(name)
    module = _built(name)
    crop = published.transforms().crop_size[0]
    if getattr(module, "image_size", crop) != crop:  # a vision transformer has one position for each patch
        module = _built(name, image_size=crop)
    if hasattr(module, "transform_input"):  # GoogLeNet and Inception convert to their own normalisation
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
    return HeadlessModel(module=module, dimension=int(dimension), unused=unused)


def _built(name: str, **options: int) -> nn.Module:
    return seeded(lambda: torchvision.models.get_model(name, weights=None, **options))


def _outputs(layer: nn.Module) -> tuple[int, ...]:
    if isinstance(layer, nn.Linear):
        return (layer.out_features,)
    return (layer.out_channels,) if isinstance(layer, nn.Conv2d) else ()


def _holder(module: nn.Module, classifier: str) -> str:
    """Return the outermost module whose only parameters were the classifier's, such as a transformer's `heads`."""
    parts = classifier.split(".")
    outwards = [".".join(parts[: count + 1]) for count in range(len(parts))]
    return next(name for name in outwards if not module.get_submodule(name).state_dict())
