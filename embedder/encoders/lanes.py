"""Lanes on the CPU: what computes one batch at a time, lent to one thread at a time; and how many fit, of what size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

from embedder.system.memory import memory_limit

T = TypeVar("T")

BATCH = 16
"""Pictures in a batch, for a model that sees no more than the usual 224 × 224 pixels; more are no faster."""
USUAL_SIDE = 224

MOST_LANES = 8
WEIGHTS_SHARE = 4
"""All lanes' copies of the weights together take at most this fraction of the memory: a quarter."""


def usual_batch(side: int) -> int:
    """Return how many pictures of side × side pixels make a batch, so that a lane's memory is about the same."""
    return max(1, min(BATCH, BATCH * USUAL_SIDE**2 // side**2))


def lanes_in(cores: int, weights: int) -> int:
    """Return how many lanes to open.

    Args:
        weights: bytes that each lane takes for a copy of the weights; 0 if they share one.
    """
    fitting = memory_limit()[0] // WEIGHTS_SHARE // weights if weights else MOST_LANES
    return max(1, min(cores, MOST_LANES, fitting))


class Lanes(Generic[T]):
    """Lends its members, each to one borrower at a time."""

    def __init__(self, lanes: Iterable[T]) -> None:
        self.idle: SimpleQueue[T] = SimpleQueue()
        self.count = 0
        for lane in lanes:
            self.idle.put(lane)
            self.count += 1

    @contextmanager
    def borrow(self) -> Iterator[T]:
        """Lend a lane within this block, waiting until one is idle."""
        lane = self.idle.get()
        try:
            yield lane
        finally:
            self.idle.put(lane)
