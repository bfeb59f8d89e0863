"""Run a bounded number of requests concurrently and return their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from submitter.clients import CONCURRENT_REQUESTS

T = TypeVar("T")
R = TypeVar("R")


def parallel_map(work: Callable[[T], R], items: Iterable[T], *, limit: int = CONCURRENT_REQUESTS) -> Iterator[R]:
    """Call `work` on each item in a few threads and yield the results in the order of the items.

    At most `limit` items are held at a time, so an endless `items` needs no more memory. An exception of `work` or
    `items` is raised here once the calls in progress have ended.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max_workers=limit, thread_name_prefix="submitter") as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
