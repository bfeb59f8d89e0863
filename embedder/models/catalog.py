"""Finds a model by its name. A family's description of a model is cached, so that the family is asked only once."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import quote

from embedder.config import cache_folder
from embedder.models import Model, family_of, home_of
from embedder.records import Preprocessing
from embedder.system.files import recall, remember

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
"""The default model. Its description is written here, so that a command that loads no model needs no torch."""


def find_model(name: str) -> Model:
    """Return the model of that name.

    Raises:
        ConfigurationError: its family has no such model, or the model cannot be used here.
    """
    if name == RESNET18.name:
        return RESNET18
    note = _note(name)
    found = _read(note) if note else None
    if found is None:
        family, own_name = family_of(name)
        found = family.find(own_name)
        if note:
            remember(note, asdict(found))  # if the cache cannot be written, the family is asked every time
    return found


def _note(name: str) -> Path | None:
    """Return the cache file for a model's description; None if there is no cache."""
    folder = cache_folder()
    distribution = home_of(name)[0].distribution
    if folder is None or not name:
        return None
    try:
        return folder / "models" / f"{quote(name, safe='')}-{distribution}-{version(distribution)}.json"
    except PackageNotFoundError:
        return None  # the family reports that the package is missing


def _read(path: Path) -> Model | None:
    """Return the model that a cache file describes; None if there is no such file or it is damaged."""
    try:
        found = recall(path)
        shape = found.pop("preprocessing")
        shape |= {name: tuple(shape[name]) for name in ("mean", "std", "fill")}
        return Model(**found, preprocessing=Preprocessing(**shape))
    except (TypeError, LookupError):
        return None
