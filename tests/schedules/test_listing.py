"""The listing by parallel requests gives a plain listing's keys in their order, in whatever order answers come."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from submitter.listing_pages import Page
from submitter.selection import S3Object
from tests.schedules.copies import Copies
from tests.schedules.scheduler import ScheduleError, explore, pause

LISTING = "submitter.parallel_listing"

KEYS = [f"{folder}/{number:03d}" for folder in ("a", "b", "q") for number in range(40)]
"""Enough for ranges that are divided, some of which turn out to be empty."""

PAGE, REQUESTS, MOST_PAGES = 4, 3, 5

SCHEDULES = [pytest.param(20, id="short"), pytest.param(2000, id="long", marks=pytest.mark.slow)]

Case = Callable[[Copies], object]


class Bucket:
    """Answers requests for pages, and counts those under way and the pages that nobody has taken yet."""

    def __init__(self, copies: Copies, fails_after: str | None = None) -> None:
        self.fails_after = fails_after
        self.under_way = self.most_under_way = self.held = self.most_held = self.ranges = 0
        self.listing: Any = copies[LISTING].ParallelListing(read=self.read, requests=REQUESTS, max_pages=MOST_PAGES)

    def read(self, *, StartAfter: str = "", ContinuationToken: str | None = None) -> Page:  # noqa: N803
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self.ranges += bool(StartAfter)
        self.most_held = max(self.most_held, self.under_way + sum(len(each.pages) for each in self.listing._ranges))
        pause()
        first = int(ContinuationToken) if ContinuationToken else bisect_right(KEYS, StartAfter)
        last = min(first + PAGE, len(KEYS))
        self.under_way -= 1
        if self.fails_after is not None and KEYS[last - 1] > self.fails_after:
            raise ConnectionError("the network is down")
        objects = tuple(S3Object(key=key, etag=None, size=1) for key in KEYS[first:last])
        return Page(objects=objects, token=str(last) if last < len(KEYS) else None)


def all_keys_in_their_order(copies: Copies) -> None:
    bucket = Bucket(copies)
    found = [key for page in bucket.listing.pages() for key in page.keys]
    assert found == KEYS
    assert bucket.ranges, "the prefix was divided"
    assert bucket.most_under_way <= REQUESTS
    assert bucket.most_held <= MOST_PAGES + 1


def a_request_fails(copies: Copies) -> None:
    bucket = Bucket(copies, fails_after="b/020")
    found: list[str] = []
    with pytest.raises(ConnectionError):
        found.extend(key for page in bucket.listing.pages() for key in page.keys)
    assert found == KEYS[: len(found)]


def the_caller_stops(copies: Copies) -> None:
    pages = Bucket(copies).listing.pages()
    assert list(next(pages).keys) == KEYS[:PAGE]
    pages.close()


@pytest.mark.parametrize("schedules", SCHEDULES)
@pytest.mark.parametrize("case", [all_keys_in_their_order, a_request_fails, the_caller_stops])
def test_in_every_order(case: Case, schedules: int) -> None:
    assert explore(partial(case, Copies(LISTING)), range(schedules)) == schedules


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("if not head.pages and not head.done:", "if False:", id="no wait"),
        pytest.param("page, each.future = each.future.result(), None", "page = each.future.result()", id="taken twice"),
        pytest.param(
            "head = self._ranges[0]", "head = max(self._ranges, key=lambda each: len(each.pages))", id="order"
        ),
        pytest.param("(room > 0 or at == 0)", "True", id="no bound"),
    ],
)
def test_a_mistake_is_found(before: str, after: str) -> None:
    with pytest.raises(ScheduleError):
        explore(partial(all_keys_in_their_order, Copies(LISTING, changes={LISTING: {before: after}})), range(300))
