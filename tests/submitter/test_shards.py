from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitter.clients import CONCURRENT_REQUESTS
from submitter.manifest import Entry, parse_entries
from submitter.parallel import parallel_map
from submitter.shards import SHARD_BYTES, cut

sizes = st.lists(st.none() | st.integers(min_value=0, max_value=20), max_size=60)


@given(sizes, st.integers(min_value=1, max_value=7), st.integers(min_value=1, max_value=30))
def test_shards_hold_everything_once_in_order(given_sizes: list[int | None], size: int, cap: int) -> None:
    entries = [Entry(key=str(number), etag=None, size=each) for number, each in enumerate(given_sizes)]
    shards = list(cut(entries, size, cap))
    held = [list(parse_entries(shard.body)) for shard in shards]
    assert [entry for shard in held for entry in shard] == entries
    assert [shard.number for shard in shards] == list(range(len(shards)))
    weights = [sum(entry.size or 0 for entry in shard) for shard in held]
    for shard, weight, following in zip(held, weights, held[1:], strict=False):
        assert len(shard) == size or weight + (following[0].size or 0) > cap, "short for a reason"
    assert all(len(shard) <= size for shard in held)
    assert all(
        weight <= cap or len([e for e in shard if e.size]) == 1 for shard, weight in zip(held, weights, strict=True)
    )


def test_tar_files_whose_size_is_unknown_do_not_fill_one_shard() -> None:
    tars = [Entry(key=f"{number}.tar", etag=None, size=None, kind="tar") for number in range(40)]
    assert [shard.body.count(b"\n") for shard in cut(tars, 1000, SHARD_BYTES["tars"])] == [16, 16, 8]
    large = replace(tars[0], size=3 * 2**30)
    assert [shard.body.count(b"\n") for shard in cut([tars[1], large, tars[2]], 1000, SHARD_BYTES["tars"])] == [1, 1, 1]


def test_shards_are_cut_while_entries_come() -> None:
    endless = (Entry(key="k", etag=None, size=1) for _ in iter(int, 1))
    assert next(cut(endless, 3)).body.count(b"\n") == 3


def test_a_bounded_number_is_in_flight_and_answers_keep_their_order() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(item: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002 * (item % 3))
        with lock:
            now -= 1
        return item

    drawn = 0

    def items() -> object:
        nonlocal drawn
        for item in range(100):
            drawn += 1
            yield item

    seen = []
    for result in parallel_map(work, items()):  # type: ignore[arg-type]
        seen.append(result)
        assert drawn - len(seen) <= CONCURRENT_REQUESTS
    assert seen == list(range(100))
    assert 1 < most <= CONCURRENT_REQUESTS


def test_what_goes_wrong_in_flight_is_raised() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("the third")
        return item

    with pytest.raises(ValueError, match="the third"):
        list(parallel_map(work, iter(range(10**9))))
