"""What is known of a model without loading it: its published weights, preprocessing and dimension."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from embedder.config import cache_folder
from embedder.errors import ConfigurationError
from embedder.system.atomic import replacing

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
    """The first hex digits of that file's SHA-256, as in its name: eight, or a few more."""
    dimension: int
    preprocessing: Preprocessing


IMAGENET_PRESET = Preprocessing(
    resize=256,
    crop=224,
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)

RESNET18 = Model(
    name="resnet18",
    url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
    digest="f37072fd",
    dimension=512,
    preprocessing=IMAGENET_PRESET,
)
"""The default, known without asking: what reads, or has nothing to do, starts without torch."""


def find_model(name: str) -> Model:
    """Return the model of that name.

    What torchvision says of a model other than the default is kept in the cache, so that it is asked once.

    Raises:
        ConfigurationError: torchvision has no such classification model, or it cannot be used here.
    """
    if name == RESNET18.name:
        return RESNET18
    kept = _kept_in(name)
    found = _read(kept) if kept else None
    if found is None:
        found = _ask_torchvision(name)
        if kept:
            _keep(found, kept)
    return found


def _kept_in(name: str) -> Path | None:
    folder = cache_folder()
    if folder is None or not re.fullmatch(r"\w+", name):
        return None
    return folder / "models" / f"{name}-torchvision-{version('torchvision')}.json"


def _read(path: Path) -> Model | None:
    """The model that was kept there; None if there is none, or something else."""
    try:
        found = json.loads(path.read_text())
        shape = found.pop("preprocessing")
        shape |= {name: tuple(shape[name]) for name in ("mean", "std")}
        return Model(**found, preprocessing=Preprocessing(**shape))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def _keep(model: Model, path: Path) -> None:
    with suppress(OSError):  # a cache that cannot be written: then torchvision is asked every time
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps(asdict(model)))


def _ask_torchvision(name: str) -> Model:
    from embedder.models import backbones  # brings torch

    known = backbones.names()
    if name not in known:
        close = get_close_matches(name.lower(), known, n=4, cutoff=0.5)
        raise ConfigurationError(
            f"there is no model {name!r}; "
            + (f"close to it are: {', '.join(close)}" if close else f"torchvision has: {', '.join(known)}")
        )
    published = backbones.published_weights(name)
    digest = re.search(r"-([0-9a-f]{8,})\.pth$", published.url)
    preset = published.transforms()
    interpolation = preset.interpolation.value
    if digest is None or len(preset.resize_size) != 1 or interpolation not in ("bilinear", "bicubic"):
        raise ConfigurationError(f"the preprocessing of {name} in this torchvision is of a kind not known here")
    return Model(
        name=name,
        url=published.url,
        digest=digest[1],
        dimension=backbones.build(name).dimension,
        preprocessing=Preprocessing(
            resize=preset.resize_size[0],
            crop=preset.crop_size[0],
            interpolation=interpolation,
            mean=tuple(preset.mean),
            std=tuple(preset.std),
        ),
    )


def fingerprint(model: Model, digest: str, dtype: str, *, normalize: bool) -> str:
    """Name what produces a vector, for example `resnet18/f37072fd/pre1/float32`."""
    parts = [model.name, digest, PREPROCESSING_VERSION, dtype]
    return "/".join([*parts, "normalized"] if normalize else parts)
