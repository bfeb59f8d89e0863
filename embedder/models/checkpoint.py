"""A model with the weights that were chosen for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from embedder.errors import ConfigurationError
from embedder.models import Model, family_of
from embedder.models.weights import RANDOM, Weights, find_weights, load_state_dict
from embedder.records import PREPROCESSING_VERSION, Fingerprint, Preprocessing, Vectors

if TYPE_CHECKING:
    from torch import nn


class NoWordsError(ConfigurationError):
    """A model has no text tower."""


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

    def fingerprint(self, data_type: str, *, normalize: bool | None, preprocessing: str) -> Fingerprint:
        """Return the fingerprint of the vectors that this checkpoint produces.

        Args:
            normalize: whether they are scaled to length 1; None for what is usual for the model.
            preprocessing: the version of decoding and resizing here.
        """
        return Fingerprint(
            model=self.name,
            digest=self.weights.digest,
            preprocessing=preprocessing,
            data_type=data_type,
            normalized=self.model.normalize if normalize is None else normalize,
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
            with self._fitting():
                backbone.load(state)
        return backbone.module

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts, which may be compared with those of this checkpoint's images.

        Returns:
            (n, dimension) float32, each of length 1.

        Raises:
            NoWordsError: the model knows images only.
            ConfigurationError: the weights cannot be obtained or do not fit, or a package is missing.
        """
        family, _ = family_of(self.name)
        encode = getattr(family, "encode_texts", None)
        if encode is None:
            raise NoWordsError(
                f"{self.name} knows images only; words need a store made with a model of both, such as --model "
                "open_clip/ViT-B-32/laion2b_s34b_b79k"
            )
        state = load_state_dict(self.weights, self.model)
        with self._fitting():
            vectors: Vectors = encode(self.model, state, texts)
        return vectors

    @contextmanager
    def _fitting(self) -> Iterator[None]:
        """Turn the error about weights that do not fit into a sentence."""
        try:
            yield
        except ValueError as error:
            raise ConfigurationError(
                f"the weights {self.weights.choice} do not fit {self.name}: {error}; expected a state dict of "
                f"{self.name}"
            ) from None
