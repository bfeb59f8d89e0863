"""A pool of lanes: what computes one batch at a time, lent to one thread at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


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
