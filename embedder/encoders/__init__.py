"""Pixels to vectors: one file per engine behind one small protocol."""

from __future__ import annotations

from typing import Protocol

from embedder.records import Pixels, Vectors


class Encoder(Protocol):
    """A model, loaded and ready."""

    engine: str
    device: str
    dimension: int
    lanes: int
    """How many `encode` calls at once are worth while; any number may be made."""
    batch_size: int
    """The most pictures worth handing to one `encode`."""

    def encode(self, pixels: Pixels) -> Vectors:
        """Return one float32 vector a picture.

        Args:
            pixels: (B, crop, crop, 3) uint8 RGB.

        Returns:
            (B, dimension) float32, row for row.
        """
