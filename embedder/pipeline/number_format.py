"""Converts vectors to the numbers that are stored: normalised or not, and of which type."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedder.records import Vectors

LARGEST = {"uint8": 255, "int8": 127}
"""The largest number of each whole-number dtype, whose numbers are multiples of a scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Formatted:
    """Vectors as they will be stored, row for row."""

    numbers: np.ndarray  # (B, D), little-endian
    data_type: str
    """The numpy dtype of the numbers, by name."""
    scales: Sequence[float | None]
    """For each row: its numbers × this are its vector; None means × 1."""
    problems: Sequence[str | None]
    """For each row: the reason why it cannot be stored; None if it can."""


class NumberFormat:
    """Converts float32 vectors to the numbers that are stored. Threads may share it.

    Args:
        data_type: `float32`, `float16`, `uint8` or `int8`. Vectors with negative numbers do not fit `uint8`: if the
            first batch has some, `int8` takes its place.
        normalize: whether every vector is scaled to length 1 first.
    """

    def __init__(self, data_type: str, *, normalize: bool) -> None:
        self.data_type = data_type
        self.normalize = normalize
        self.decided = data_type != "uint8"
        self.deciding = threading.Lock()

    def format(self, vectors: Vectors) -> Formatted:
        """Convert vectors, (B, D) float32."""
        if self.normalize:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.where(lengths > 0, lengths, 1)
        with self.deciding:
            if not self.decided and len(vectors):
                self.data_type = "int8" if (vectors < 0).any() else "uint8"
                self.decided = True
        return self._whole(vectors) if self.data_type in LARGEST else self._float(vectors)

    def _float(self, vectors: Vectors) -> Formatted:
        with np.errstate(over="ignore"):  # what float16 cannot hold is found below
            numbers = vectors.astype(np.dtype(self.data_type).newbyteorder("<"))
        problems = [self._problem(row) for row in numbers]
        return Formatted(numbers=numbers, data_type=self.data_type, scales=[None] * len(numbers), problems=problems)

    def _whole(self, vectors: Vectors) -> Formatted:
        largest = np.abs(vectors).max(axis=1)
        scales = (np.where(largest > 0, largest, 1) / LARGEST[self.data_type]).astype(np.float32)
        with np.errstate(invalid="ignore"):
            numbers = np.rint(vectors / scales[:, None]).astype(self.data_type)
        problems = [self._problem(vector) for vector in vectors]
        return Formatted(numbers=numbers, data_type=self.data_type, scales=scales.tolist(), problems=problems)

    def _problem(self, vector: Vectors) -> str | None:
        if not np.isfinite(vector).all():
            return f"the vector has values that {self.data_type} cannot hold"
        if self.data_type == "uint8" and vector.min() < 0:
            return "the vector has negative numbers, unlike those before it, and uint8 holds none; use --dtype int8"
        return None
