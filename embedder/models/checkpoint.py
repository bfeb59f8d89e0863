"""A model with the weights that were chosen for it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from embedder.errors import ConfigurationError
from embedder.models import Model, family_of
from embedder.models.weights import RANDOM, Weights, find_weights, load_state_dict
from embedder.records import PREPROCESSING_VERSION, Fingerprint, Preprocessing

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model and its weights, not loaded yet. Engines run it as an `embedder.encoders.Network`."""

    model: Model
    weights: Weights

    @classmethod
    def find(cls, model: Model, choice: str) -> Checkpoint:
        """Choose a model's weights without loading them.

        Args:
            choice: `default`, `random`, or the path of a state dict.

        Raises:
            ConfigurationError: there is no such file.
        """
        return cls(model=model, weights=find_weights(choice, model))

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def dimension(self) -> int:
        return self.model.dimension

    @property
    def preprocessing(self) -> Preprocessing:
        return self.model.preprocessing

    @property
    def key(self) -> str:
        """The name of the cache folder for files that are made from this checkpoint."""
        key = f"{self.name.replace('/', '_')}-{self.weights.digest}-{PREPROCESSING_VERSION}"
        # A seed may give other weights in another version of torch.
        return f"{key}-{version('torch')}" if self.weights.choice == RANDOM else key

    def fingerprint(self, data_type: str, *, normalize: bool) -> Fingerprint:
        """Return the fingerprint of the vectors that this checkpoint produces."""
        return Fingerprint(
            model=self.name,
            digest=self.weights.digest,
            preprocessing=PREPROCESSING_VERSION,
            data_type=data_type,
            normalized=normalize,
        )

    def module(self) -> nn.Module:
        """Build the network and load the weights.

        Returns:
            A network on the CPU: normalised pixels (B, 3, crop, crop) float32 to vectors (B, dimension) float32.

        Raises:
            ConfigurationError: the weights cannot be obtained or do not fit.
        """
        state = load_state_dict(self.weights, self.model)
        family, _ = family_of(self.name)
        backbone = family.build(self.model)
        if state is not None:
            try:
                backbone.load(state)
            except ValueError as error:
                raise ConfigurationError(
                    f"the weights {self.weights.choice} do not fit {self.name}: {error}; expected a state dict of "
                    f"{self.name}"
                ) from None
        return backbone.module
