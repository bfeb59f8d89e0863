"""Several requests at once, a bounded number of them, their answers in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from submitter.clients import IN_FLIGHT

T = TypeVar("T")
R = TypeVar("R")


def in_flight(work: Callable[[T], R], items: Iterable[T], *, limit: int = IN_FLIGHT) -> Iterator[R]:
    """Call `work` on each item in a few threads and yield what it returns, in the items' order.

    At most `limit` items are held, so an endless `items` needs no more memory than that. What
    `work` or `items` raises is raised here, once the calls under way have ended.
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(max_workers=limit, thread_name_prefix="submitter") as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
