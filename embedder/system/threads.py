"""One stage of a pipeline: a function applied by threads, with a bound on what is in flight."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.5
"""How long a wait for results may be before `cancelled` is looked at again."""


def parallel_map(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    depth: Callable[[], int],
    name: str,
    cost: Callable[[T], int] = lambda _: 0,
    budget: int = 1,
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[R]:
    """Yield `function(item)` for every item, as each is finished.

    The caller's thread takes from `items` and hands to the workers, so stages chain like generators
    and one thread drives them all; while it waits for one stage, the others work through what they
    were handed. Not in order: one slow item delays nobody.

    Args:
        workers: threads of this stage.
        depth: says how many items may be taken and not yet yielded.
        cost: of an item, in the unit of `budget`.
        budget: nothing more is taken while the items in flight cost this much.
        cancelled: looked at now and then; once it is true the iteration ends, and what is in flight is
            neither yielded nor waited for.

    Raises:
        Whatever `function` or `items` raises; what is in flight then finishes, unseen.
    """
    finished: SimpleQueue[tuple[int, Future[R]]] = SimpleQueue()
    source = iter(items)
    taken = spent = 0
    more = True
    executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
    try:
        while not cancelled():
            while more and taken < depth() and spent < budget:
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                    break
                price = cost(item)
                future = executor.submit(function, item)
                del item  # the worker owns it now; its bytes go when the worker is done
                future.add_done_callback(lambda done, price=price: finished.put((price, done)))  # type: ignore[misc]
                taken, spent = taken + 1, spent + price
            if not taken:
                return
            try:
                price, done = finished.get(timeout=POLL_SECONDS)
            except Empty:
                continue
            taken, spent = taken - 1, spent - price
            yield done.result()
            del done
    finally:
        executor.shutdown(wait=not cancelled(), cancel_futures=True)


def grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while group := list(itertools.islice(iterator, size)):
        yield group


class Budget:
    """A number of bytes that threads hold parts of; who asks for too much waits, or goes alone."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self.changed = threading.Condition()

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        """Hold `wanted` bytes while the context lasts; more than there are means all of them."""
        wanted = min(wanted, self.size)
        with self.changed:
            self.changed.wait_for(lambda: self.held + wanted <= self.size)
            self.held += wanted
        try:
            yield
        finally:
            with self.changed:
                self.held -= wanted
                self.changed.notify_all()
