"""Stages that overlap: everything comes out once, and no more is taken in than was agreed."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedder.system.threads import Budget, parallel_map


@settings(max_examples=40)
@given(count=st.integers(0, 60), workers=st.integers(1, 5), depth=st.integers(1, 9), budget=st.integers(1, 20))
def test_every_item_comes_out_once(count: int, workers: int, depth: int, budget: int) -> None:
    items = range(count)
    results = parallel_map(
        lambda each: each * 2,
        items,
        workers=workers,
        depth=lambda: depth,
        name="x",
        cost=lambda each: each,
        budget=budget,
    )
    assert sorted(results) == [each * 2 for each in items]


def counting(items: Iterator[int], taken: list[int]) -> Iterator[int]:
    for item in items:
        taken.append(item)
        yield item


def test_no_more_is_taken_than_the_depth() -> None:
    taken: list[int] = []
    done = 0
    for _ in parallel_map(lambda each: each, counting(iter(range(50)), taken), workers=3, depth=lambda: 7, name="x"):
        assert len(taken) - done <= 7
        done += 1
    assert done == 50


def test_no_more_is_taken_than_the_budget_but_a_large_item_goes_alone() -> None:
    sizes = [5, 5, 100, 5, 5, 5]
    taken: list[int] = []
    done: list[int] = []
    for size in parallel_map(
        lambda each: each,
        counting(iter(sizes), taken),
        workers=4,
        depth=lambda: 10,
        name="x",
        cost=lambda each: each,
        budget=11,
    ):
        in_flight = sum(taken) - sum(done)
        assert in_flight < 11 + max(sizes)
        done.append(size)
    assert sorted(done) == sorted(sizes)


def test_one_slow_item_delays_nobody() -> None:
    slow = threading.Event()

    def work(item: int) -> int:
        if item == 0:
            assert slow.wait(30)
        return item

    results = parallel_map(work, range(5), workers=2, depth=lambda: 5, name="x")
    first = [next(results) for _ in range(4)]
    slow.set()
    assert sorted(first) == [1, 2, 3, 4]
    assert list(results) == [0]


def test_errors_of_the_function_and_of_the_items_come_through() -> None:
    def fail(item: int) -> int:
        if item == 3:
            raise ValueError("of the function")
        return item

    with pytest.raises(ValueError, match="of the function"):
        list(parallel_map(fail, range(10), workers=2, depth=lambda: 4, name="x"))

    def items() -> Iterator[int]:
        yield 1
        raise KeyError("of the items")

    with pytest.raises(KeyError, match="of the items"):
        list(parallel_map(lambda each: each, items(), workers=2, depth=lambda: 4, name="x"))


def test_whoever_stops_listening_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    results = parallel_map(lambda each: each, range(1000), workers=4, depth=lambda: 8, name="x")
    next(results)
    results.close()  # type: ignore[attr-defined]
    for each in set(threading.enumerate()) - before:
        each.join(30)
        assert not each.is_alive()


def test_the_garbage_collector_waits_for_nobody() -> None:
    """It may run in a thread that holds a lock which the threads of the abandoned call need for their end."""
    lock, waited_for = threading.Lock(), []

    def work(item: int) -> int:
        if item:
            if lock.acquire(timeout=20):
                lock.release()
            else:
                waited_for.append(item)
        return item

    with lock:
        results = parallel_map(work, range(9), workers=2, depth=lambda: 9, name="x")
        assert next(results) == 0
        circle: list[object] = [results]
        circle.append(circle)
        del results, circle
        gc.collect()
    assert not waited_for


def test_stages_chain() -> None:
    one = parallel_map(lambda each: each + 1, range(100), workers=3, depth=lambda: 5, name="one")
    two = parallel_map(lambda each: each * 10, one, workers=2, depth=lambda: 3, name="two")
    assert sorted(two) == [(each + 1) * 10 for each in range(100)]


class TestBudget:
    def test_what_is_held_is_given_back(self) -> None:
        budget = Budget(100)
        with budget.reserve(60):
            assert budget.held == 60
        with pytest.raises(ValueError, match="x"), budget.reserve(60):
            raise ValueError("x")
        assert budget.held == 0

    def test_who_asks_for_too_much_waits(self) -> None:
        budget = Budget(100)
        got = threading.Event()

        def ask() -> None:
            with budget.reserve(50):
                got.set()

        with budget.reserve(60):
            thread = threading.Thread(target=ask)
            thread.start()
            assert not got.wait(0.1)
        thread.join(10)
        assert got.is_set()

    def test_more_than_there_is_goes_alone(self) -> None:
        budget = Budget(100)
        with budget.reserve(10_000):
            assert budget.held == 100
