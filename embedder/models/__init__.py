"""Models and their weights. Each family of models has a file; all families follow one protocol.

A family is a module with the functions of `Family`. To add one, write the module beside `torchvision.py` and add a line
to `FAMILIES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from embedder.records import Preprocessing
from embedder.system.doors import behind

if TYPE_CHECKING:
    from torch import Tensor, nn


class Home(NamedTuple):
    """Where a family's code comes from."""

    module: str
    distribution: str
    """The package that describes the models. Its descriptions are cached until its version changes."""


FAMILIES = {
    "torchvision": Home("embedder.models.torchvision", "torchvision"),
    "timm": Home("embedder.models.timm", "timm"),
    "open_clip": Home("embedder.models.open_clip", "open_clip_torch"),
}
"""A model is called `FAMILY/NAME`. In the first family, `NAME` alone is enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The description of a model, which is known without loading it."""

    name: str
    """The name in fingerprints: `resnet18`, or `FAMILY/NAME`."""
    url: str
    """The address of its published weights."""
    digest: str
    """The first hex digits, at least eight, of the SHA-256 of the published file; empty if only the file tells it."""
    dimension: int
    preprocessing: Preprocessing
    license: str = ""
    """The licence of the published weights, as the library names it; empty if it names none."""
    normalize: bool = False
    """Whether its vectors are scaled to length 1 unless the user says otherwise."""


class Backbone(Protocol):
    """A model without its classifier: in evaluation mode, in float32, on the CPU, at first with seeded weights."""

    @property
    def module(self) -> nn.Module:
        """The network: (B, 3, crop, crop) normalised float32 to (B, dimension) float32."""

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the weights of a state dict, which may have any classifier or none.

        Raises:
            ValueError: the state dict does not fit; the text says where.
        """


class Family(Protocol):
    """A set of models that the same functions find, build and load.

    A family whose models also read words has one more function, `encode_texts`, as in `open_clip.py`.
    """

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
    family: Family = behind(home.module)
    return family, own_name
