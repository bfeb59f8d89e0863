"""Models of timm (pytorch-image-models) without their classifiers: `--model timm/NAME`, where NAME is timm's own.

timm's description of each set of published weights, its `pretrained_cfg`, says everything that a model needs to be
told: how images are prepared, where the weights are, and under which licence.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.models.hub import HubFile
from embedder.models.loading import fit, published_digest, seeded
from embedder.records import Preprocessing
from embedder.system.files import find_folder

find_folder("torch")  # torch needs a temporary folder while it is imported, and would end with a traceback

import torch  # noqa: E402
from torch import nn  # noqa: E402

try:
    import timm
    from timm.data import resolve_data_config
except ImportError:
    raise ConfigurationError("models of timm need the package timm: pip install 'embedder[timm]'") from None

FILE = "model.safetensors"
"""The name of the weights in timm's repositories of the hub."""

FITS: Mapping[str, Literal["short", "both", "pad"]] = {"center": "short", "squash": "both", "border": "pad"}
"""How timm calls the ways to make a picture square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlessModel:
    """A model of timm without its classifier; a `Backbone`."""

    module: nn.Module
    unused: tuple[str, ...]
    """The prefixes of the classifier's parameters."""

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        # The file of each architecture has a function that renames what the original publishers' files call otherwise.
        home = sys.modules[type(self.module).__module__]
        renamed = getattr(home, "checkpoint_filter_fn", lambda state, _model: state)
        try:
            known = renamed(dict(state), self.module)
        except (KeyError, AttributeError, TypeError, RuntimeError) as error:
            raise ValueError(f"timm cannot read it as weights of this architecture ({error})") from None
        fit(self.module, {name: value for name, value in known.items() if not name.startswith(self.unused)})


def find(name: str) -> Model:
    """Describe a model; see `Family`."""
    described = _described(name)
    data = resolve_data_config(pretrained_cfg=described.to_dict())
    channels, height, width = data["input_size"]
    filter = data["interpolation"]
    if channels != 3 or height != width or filter not in ("bilinear", "bicubic"):
        raise ConfigurationError(
            f"timm/{name} takes images of {width} x {height} pixels in {channels} channels, resized by {filter}; "
            "embedder supports square images in 3 channels, resized bilinear or bicubic; choose another --model"
        )
    shape = FITS[data["crop_mode"]]
    hub = described.hf_hub_id and HubFile(described.hf_hub_id, described.hf_hub_filename or FILE)
    return Model(
        name=f"timm/{_full_name(described)}",
        url=hub.address if hub else described.url or "",
        digest="" if hub else published_digest(described.url or ""),
        dimension=_dimension(described, height),
        preprocessing=Preprocessing(
            resize=math.floor(height / data["crop_pct"]),
            crop=height,
            interpolation=filter,
            mean=tuple(data["mean"]),
            std=tuple(data["std"]),
            fit=shape,
            fill=tuple(round(255 * level) for level in data["mean"]) if shape == "pad" else (0, 0, 0),
        ),
        license=described.license or "",
    )


def build(model: Model) -> HeadlessModel:
    """Make a model; see `Family`."""
    described = _described(model.name.removeprefix("timm/"))
    heads = described.classifier or ()
    return HeadlessModel(
        module=seeded(lambda: _headless(described)),
        unused=tuple(f"{name}." for name in ([heads] if isinstance(heads, str) else heads)),
    )


def _described(name: str) -> Any:
    """Return timm's description of a model with one set of published weights, the default one if the name has none."""
    architecture, _, tag = name.partition(".")
    known = timm.list_pretrained(f"{architecture}.*") if timm.is_model(architecture) else []
    if timm.is_model(architecture) and (not tag or name in known):
        return timm.get_pretrained_cfg(name)
    close = get_close_matches(name, known or timm.list_models(), n=4, cutoff=0.4)
    raise ConfigurationError(
        f"there is no model timm/{name}; "
        + (f"similar names are: {', '.join(close)}" if close else "timm.list_pretrained() names them all")
    )


def _full_name(described: Any) -> str:
    return f"{described.architecture}.{described.tag}" if described.tag else str(described.architecture)


def _headless(described: Any) -> nn.Module:
    module: nn.Module = timm.create_model(_full_name(described), pretrained=False, num_classes=0)
    return module


def _dimension(described: Any, side: int) -> int:
    """Return the length of a model's vectors; on torch's device without memory, nothing is computed for it."""
    with torch.device("meta"), torch.inference_mode():
        vectors = _headless(described).eval()(torch.zeros(1, 3, side, side))
    return int(vectors.shape[1])
