"""The models: a file for each family behind one protocol, and the weights that go into them.

A family is a module with the functions of `Family`. To add one, write that module beside `torchvision.py` and give it
a line in `FAMILIES`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

from embedder.records import Preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn


class Home(NamedTuple):
    """Where a family is found."""

    module: str
    distribution: str
    """The package that knows the models. What it says of one is kept for as long as its version stays."""


FAMILIES = {"torchvision": Home("embedder.models.torchvision", "torchvision")}
"""A model is called `FAMILY/NAME`, or `NAME` alone in the first family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What is known of a model without loading it."""

    name: str
    """As it is written in fingerprints: `resnet18`, or `FAMILY/NAME`."""
    url: str
    """Where its default weights are published."""
    digest: str
    """The first hex digits, at least eight, of the SHA-256 of the published file."""
    dimension: int
    preprocessing: Preprocessing


class Backbone(Protocol):
    """A model without its classifier, with seeded weights, in evaluation mode, float32, on the CPU."""

    @property
    def module(self) -> nn.Module:
        """The network: (B, 3, crop, crop) normalised float32 to (B, dimension) float32."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of a state dict, whatever classifier that has.

        Raises:
            ValueError: the state dict does not fit; the text says where.
        """


class Family(Protocol):
    """Models that are found, built and loaded in the same way."""

    def find(self, name: str) -> Model:
        """Describe a model.

        Args:
            name: the name within the family.

        Raises:
            ConfigurationError: the family has no such model, or the model cannot be used here.
        """

    def build(self, model: Model) -> Backbone:
        """Make a model that `find` described."""


def home_of(name: str) -> tuple[Home, str]:
    """Return the family of a model, and the model's name within it."""
    prefix, slash, rest = name.partition("/")
    if slash and prefix in FAMILIES:
        return FAMILIES[prefix], rest
    return next(iter(FAMILIES.values())), name


def family_of(name: str) -> tuple[Family, str]:
    """Return the family of a model, imported, and the model's name within it."""
    home, own_name = home_of(name)
    return cast(Family, pkgutil.resolve_name(home.module)), own_name
