"""An encoder of the caller's own: any object that turns pixels into vectors, in the place of an engine."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import Pixels, Preprocessing, Vectors

BATCH = 32


class OwnEncoder(Protocol):
    """What `embed(…, encoder=…)` takes: a model of one's own."""

    name: str
    """Goes into every vector's fingerprint. Give another model, or other weights, another name."""
    preprocessing: Preprocessing
    """How an image becomes the pixels that it is given. `mean` and `std` are not applied: that is the encoder's."""

    def encode(self, pixels: Pixels) -> Vectors:
        """Return one vector for each picture.

        Args:
            pixels: (B, crop, crop, 3) uint8 RGB.

        Returns:
            (B, D) of any float dtype, row for row; D is always the same.
        """


class Adapter:
    """Gives a caller's object what the pipeline asks of an `Encoder`."""

    engine = "own"
    arithmetic = "own"
    device = "own"
    lanes = 1

    def __init__(self, own: OwnEncoder, batch_size: int | None) -> None:
        self.own = own
        self.batch_size = batch_size or BATCH
        side = own.preprocessing.crop
        self.dimension = self.encode(np.zeros((1, side, side, 3), np.uint8)).shape[1]

    def encode(self, pixels: Pixels) -> Vectors:
        vectors: Vectors = np.asarray(self.own.encode(pixels), np.float32)
        if vectors.ndim != 2 or len(vectors) != len(pixels):
            raise ConfigurationError(
                f"the encoder {self.own.name} returned an array of shape {vectors.shape} for {len(pixels)} pictures; "
                f"expected ({len(pixels)}, D)"
            )
        return vectors
