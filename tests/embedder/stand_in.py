"""An engine that costs nothing, in the place of all others, through the table where engines are entered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from embedder.encoders import ENGINES, Encoder, Engine
from embedder.records import Pixels, Vectors


@cache
def projection() -> np.ndarray:
    """From a picture's 28 × 28 pixels to 512 numbers."""
    return np.random.default_rng(0).normal(size=(28 * 28 * 3, 512))


@dataclass(slots=True)
class PixelEncoder:
    """Vectors that tell one picture from another, at no cost: each is a picture's pixels, projected.

    For tests of what happens around the model; those of its vectors use the real one.
    """

    engine: str = "pixels"
    arithmetic: str = "float32"
    lanes = 1
    device: str = "cpu"
    dimension: int = 512
    batch_size: int = 4
    opened: int = 0
    """How often a run has loaded the model."""
    batches: list[int] = field(default_factory=list)
    """How many pictures were in each call."""

    def open(self, *_: Any) -> PixelEncoder:
        """Load it, as an `Engine` does."""
        self.opened += 1
        return self

    def encode(self, pixels: Pixels) -> Vectors:
        self.batches.append(len(pixels))
        small = pixels[:, ::8, ::8].reshape(len(pixels), -1).astype(np.float64)
        vectors: Vectors = (small @ projection() / 1000).astype(np.float32)
        return vectors


def replace_engines(opens: Callable[..., Encoder]) -> None:
    """Enter one engine, as `torch`, in the place of all others, for the rest of this process."""
    ENGINES[:] = [Engine(name="torch", opens=opens, trusted=True)]


@contextmanager
def only_engine(opens: Callable[..., Encoder]) -> Iterator[None]:
    """Enter one engine in the place of all others, within this block."""
    before = list(ENGINES)
    replace_engines(opens)
    try:
        yield
    finally:
        ENGINES[:] = before
