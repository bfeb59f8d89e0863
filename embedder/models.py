"""What is known of a model without loading it: its published weights, preprocessing and dimension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from embedder.errors import ConfigurationError

PREPROCESSING_VERSION = "pre1"
"""Goes into every fingerprint; changes when the same file would give different pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From the upright RGB image to the model's input, as torchvision's presets describe it."""

    resize: int
    """Pixels of the short side after resizing."""
    crop: int
    """Pixels of both sides after the centre crop."""
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A torchvision backbone without its classifier."""

    name: str
    url: str
    """Where torchvision publishes the default weights."""
    digest: str
    """The first eight hex digits of that file's SHA-256, as in its name."""
    dimension: int
    preprocessing: Preprocessing


IMAGENET_PRESET = Preprocessing(
    resize=256,
    crop=224,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

MODELS = {
    model.name: model
    for model in (
        Model(
            name="resnet18",
            url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
            digest="f37072fd",
            dimension=512,
            preprocessing=IMAGENET_PRESET,
        ),
    )
}


def find_model(name: str) -> Model:
    """Return the model of that name.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return MODELS[name]
    except KeyError:
        known = ", ".join(sorted(MODELS))
        raise ConfigurationError(f"there is no model {name!r}; the models are: {known}") from None


def fingerprint(model: Model, digest: str, dtype: str, *, normalize: bool) -> str:
    """Name what produces a vector, for example `resnet18/f37072fd/pre1/float32`."""
    parts = [model.name, digest, PREPROCESSING_VERSION, dtype]
    return "/".join([*parts, "normalized"] if normalize else parts)
