"""Threads: `parallel_map` applies a function to a stream of items; `Budget` bounds what threads hold together."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.5
"""How long `parallel_map` waits for a result before it calls `cancelled` again."""


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
    executor: ThreadPoolExecutor | None = None,
) -> Iterator[R]:
    """Yield `function(item)` for every item as soon as the result is there.

    The caller's thread takes the items and gives them to worker threads. So calls chain like generators, and one thread
    drives several stages: while it waits for one stage, the workers of the others continue. Results are yielded in the
    order in which they are finished, so that a slow item delays no other.

    Args:
        workers: the number of threads that call `function`.
        depth: returns how many items may be taken and not yet yielded.
        name: the prefix of the threads' names.
        cost: returns the cost of an item, in the unit of `budget`.
        budget: no item is taken while the items in flight cost this much or more.
        cancelled: called before each result, at least every `POLL_SECONDS`. Once it returns true, the iteration ends
            without yielding the items in flight or waiting for them.
        executor: has the threads to use, and outlives this call; None to start some for this call.

    Raises:
        Exception: whatever `function` or `items` raises. The items in flight are finished, but not yielded.

    If the caller stops iterating, the items in flight are finished as well, and nobody waits for them.
    """
    finished: SimpleQueue[tuple[int, Future[R]]] = SimpleQueue()
    source = iter(items)
    taken = spent = 0
    more = True
    with nullcontext(executor) if executor else thread_pool(workers, name, cancelled) as pool:
        while not cancelled():
            while more and taken < depth() and spent < budget:
                try:
                    item = next(source)
                except StopIteration:
                    more = False
                    break
                price = cost(item)
                future = pool.submit(function, item)
                del item  # so that its memory is freed as soon as the worker is done
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


@contextmanager
def thread_pool(workers: int, name: str, cancelled: Callable[[], bool] = lambda: False) -> Iterator[ThreadPoolExecutor]:
    """Give threads to a generator, and end them with the block: work that has not begun is dropped.

    The block waits for work in flight unless `cancelled` returns true, or the generator is closed before its end. The
    garbage collector closes generators too, in any thread and between any two instructions. Waiting there can deadlock:
    a thread that is just starting holds a lock of `threading` that joining another thread needs.
    """
    executor = ThreadPoolExecutor(workers, thread_name_prefix=name)
    wait = True
    try:
        yield executor
    except GeneratorExit:
        wait = False
        raise
    finally:
        executor.shutdown(wait=wait and not cancelled(), cancel_futures=True)


def grouped(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of `size`. The last list may be shorter."""
    iterator = iter(items)
    while group := list(itertools.islice(iterator, size)):
        yield group


class Budget:
    """A number of bytes that threads share. A thread that needs more than is left waits."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.held = 0
        self.changed = threading.Condition()

    @contextmanager
    def reserve(self, wanted: int) -> Iterator[None]:
        """Hold `wanted` bytes within this block. A thread that needs more than the whole budget holds all of it."""
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
