"""A listing by parallel requests gives what a plain one gives, in the same order, with few requests more."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submitter.listing_pages import Page
from submitter.parallel_listing import MAX_PAGES, ParallelListing
from submitter.selection import S3Object
from tests.submitter.listing_server import LAYOUTS


@dataclass
class Keys:
    """A prefix that is listed. It counts requests, those under way at once, and pages that nobody has taken yet."""

    keys: Sequence[str]
    size: int
    latency: float = 0.0
    under_way: int = 0
    at_once: list[int] = field(default_factory=list)
    starts: int = 0
    given: int = 0
    most_held: int = 0
    taken: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read(self, *, StartAfter: str = "", ContinuationToken: str | None = None) -> Page:  # noqa: N803
        with self.lock:
            self.under_way += 1
            self.at_once.append(self.under_way)
            self.starts += bool(StartAfter)
        time.sleep(self.latency)
        first = int(ContinuationToken) if ContinuationToken else bisect_right(self.keys, StartAfter)
        last = min(first + self.size, len(self.keys))
        objects = tuple(S3Object(key=key, etag=None, size=1) for key in self.keys[first:last])
        with self.lock:
            self.under_way -= 1
            self.given += 1
            self.most_held = max(self.most_held, self.given - self.taken)
        return Page(objects=objects, token=str(last) if last < len(self.keys) else None)

    def listed(self) -> list[str]:
        found: list[str] = []
        for page in ParallelListing(read=self.read).pages():
            self.taken += 1
            found += page.keys
        return found


@given(st.sets(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), max_size=60), st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_any_keys_in_the_order_of_their_bytes(keys: set[str], size: int) -> None:
    ordered = sorted(keys, key=lambda key: key.encode())
    assert Keys(keys=ordered, size=size).listed() == ordered


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ways_in_which_keys_are_named(layout: str) -> None:
    keys = sorted({LAYOUTS[layout](number) for number in range(100_000)})
    bucket = Keys(keys=keys, size=500, latency=0.02)
    assert bucket.listed() == keys
    assert len(bucket.at_once) < 1.5 * len(keys) / bucket.size, "requests"
    assert sum(bucket.at_once) / len(bucket.at_once) > 4, "requests at once"


def test_pages_that_nobody_has_taken_are_few() -> None:
    bucket = Keys(keys=[f"{number:06d}" for number in range(20_000)], size=20)
    found = 0
    for page in ParallelListing(read=bucket.read).pages():
        bucket.taken += 1
        found += len(page.objects)
        time.sleep(0.0005)  # a reader that is slower than the server
    assert found == 20_000
    # A page that lies beyond its range is dropped, so `given` counts some pages that are not held.
    assert bucket.most_held - (bucket.given - bucket.taken) <= MAX_PAGES + 1


def test_a_small_prefix_is_one_request() -> None:
    bucket = Keys(keys=["a", "b"], size=2)
    assert bucket.listed() == ["a", "b"]
    assert len(bucket.at_once) == 1
    assert Keys(keys=[], size=2).listed() == []


def test_without_an_order_it_is_a_chain() -> None:
    """Directory buckets list in no order, and refuse StartAfter."""
    keys = [f"{number * 7919 % 10_007:05d}" for number in range(1000)]
    bucket = Keys(keys=keys, size=10)
    assert bucket.listed() == keys
    assert (bucket.starts, max(bucket.at_once)) == (0, 1)


def test_a_request_that_fails_ends_the_listing() -> None:
    bucket = Keys(keys=[f"{number:06d}" for number in range(20_000)], size=100)

    def read(**place: str) -> Page:
        if place.get("StartAfter", "") > "005":
            raise ConnectionError("the network is down")
        return bucket.read(**place)

    with pytest.raises(ConnectionError, match="network is down"):
        list(ParallelListing(read=read).pages())
