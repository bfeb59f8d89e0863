"""List a large prefix with parallel requests, in the order and with the objects of a plain listing.

S3 lists a prefix as a chain: each page of a thousand keys begins where the one before ended. `StartAfter` begins a
listing at any key, so the keys can be divided into ranges, each of which is a chain of its own. It is not known in
advance where the keys lie. Therefore a range that has listed a few pages divides its unread rest by the distance that
those pages covered, and its parts do the same.

Memory is bounded: at most `MAX_PAGES` pages, and one for the range that is needed next, are requested or held. Keys are
ordered by their UTF-8 bytes, which is the order of Python's strings.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from submitter.clients import CONCURRENT_LISTINGS
from submitter.key_steps import steps_after
from submitter.listing_pages import Page

MAX_PAGES = 64
"""Pages that are held or requested at most."""
STRETCH = 4
"""Pages after which a range is divided, and the length that its parts should have."""
_PARTS_OF_A_PART = 4
"""A range with an end was meant to be short, so its rest is divided into few parts."""
_SAMPLE = 25
"""Keys of a page from which the alphabets of keys are read."""

Read = Callable[..., Page]
"""Reads a page: from the beginning, or from `StartAfter=KEY` or `ContinuationToken=TOKEN`."""


@dataclass(slots=True, kw_only=True)
class _Division:
    """The parts that a range was divided into, and how many of them turned out to be empty."""

    origin: str
    """The first key of the distance that the parts were measured by."""
    parts: int
    empty: int = 0

    @property
    def useful(self) -> bool:
        return 2 * self.empty <= self.parts


@dataclass(slots=True, kw_only=True)
class _Range:
    """The keys after `after` and up to `until`; None is the beginning or the end of the prefix."""

    after: str | None = None
    until: str | None = None
    token: str | None = None
    division: _Division | None = None
    """Which division made this range."""
    pages: deque[Page] = field(default_factory=deque)
    future: Future[Page] | None = None
    sample: list[str] = field(default_factory=list)
    """Keys of the pages since the range was last divided, the first one included."""
    stretch: int = 0
    """The number of those pages."""
    done: bool = False

    @property
    def place(self) -> dict[str, str]:
        if self.token is not None:
            return {"ContinuationToken": self.token}
        return {} if self.after is None else {"StartAfter": self.after}

    def take(self, page: Page) -> None:
        """Add a page; what lies beyond the range belongs to the next one."""
        objects, token = page.objects, page.token
        if self.until is not None and objects and objects[-1].key > self.until:
            objects, token = tuple(each for each in objects if each.key <= self.until), None
        self.token, self.done = token, token is None
        if objects:
            self.pages.append(Page(objects=objects, token=token))
            keys = [each.key for each in objects[:: max(1, len(objects) // _SAMPLE)]]
            self.sample += [*keys, objects[-1].key]
            self.stretch += 1
        elif self.division and not self.sample:
            self.division.empty += 1


@dataclass(slots=True, kw_only=True)
class ParallelListing:
    """Lists one prefix."""

    read: Read
    requests: int = CONCURRENT_LISTINGS
    max_pages: int = MAX_PAGES
    _ranges: deque[_Range] = field(default_factory=deque)
    _ordered: bool = True
    """Whether keys come in order, as they do everywhere but in directory buckets, which know no `StartAfter`."""

    def pages(self) -> Iterator[Page]:
        """Yield the pages in order. Pages may be shorter than those of a plain listing, and none is empty."""
        self._ranges = deque([_Range()])
        with ThreadPoolExecutor(self.requests, thread_name_prefix="listing") as pool:
            while self._ranges:
                self._request(pool)
                head = self._ranges[0]
                if not head.pages and not head.done:
                    wait([each.future for each in self._ranges if each.future], return_when=FIRST_COMPLETED)
                self._collect()
                while head.pages:
                    yield head.pages.popleft()
                if head.done:
                    self._ranges.popleft()

    def _collect(self) -> None:
        """Take the pages that have arrived."""
        for each in self._ranges:
            if each.future and each.future.done():
                page, each.future = each.future.result(), None
                keys = page.keys
                self._ordered = self._ordered and all(a < b for a, b in pairwise(keys))
                each.take(page)

    def _request(self, pool: ThreadPoolExecutor) -> None:
        """Ask for more pages, first for those that are needed first, and divide ranges while requests are to spare."""
        under_way = sum(1 for each in self._ranges if each.future)
        room = self.max_pages - under_way - sum(len(each.pages) for each in self._ranges)
        spare = self.requests - under_way
        at = 0
        while at < len(self._ranges) and spare > 0 and (room > 0 or at == 0):
            each = self._ranges[at]
            if not each.done and not each.future:
                if each.stretch >= STRETCH and self._ordered:
                    self._divide(at, each)
                each.future = pool.submit(partial(self.read, **each.place))
                spare, room = spare - 1, room - 1
            at += 1

    def _divide(self, at: int, whole: _Range) -> None:
        """Divide the unread rest of a range by the distance that its last pages covered.

        Where the parts of the last division were mostly empty, as after the end of a folder, the distance is measured
        from further back, so that it spans folders.
        """
        division, last = whole.division, whole.sample[-1]
        if division and not division.useful:
            whole.sample.insert(0, division.origin)
        origin = whole.sample[0]
        parts = self.requests if whole.until is None else _PARTS_OF_A_PART
        borders = [key for key in steps_after(whole.sample, parts) if whole.until is None or key < whole.until]
        whole.sample, whole.stretch = [last], 0
        if not borders:
            return
        made = _Division(origin=origin, parts=len(borders))
        ends = [*borders[1:], whole.until]
        for border, end in zip(reversed(borders), reversed(ends), strict=True):
            self._ranges.insert(at + 1, _Range(after=border, until=end, division=made))
        whole.until = borders[0]
