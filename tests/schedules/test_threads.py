"""`parallel_map`, `Budget` and the submitter's ordered map, in every order of their threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tests.schedules.copies import Copies
from tests.schedules.scheduler import ScheduleError, explore, explore_all, pause, wait_for_others

THREADS = "embedder.system.threads"
ORDERED = "submitter.parallel"

Case = Callable[[Copies], object]

SCHEDULES = [pytest.param(60, id="short"), pytest.param(3000, id="long", marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def copies() -> Copies:
    return Copies(THREADS, ORDERED)


def twice(item: int) -> int:
    pause()
    return 2 * item


class Counted:
    """Items that are counted while they are in flight, which may cost 4 at most before another is taken."""

    DEPTH, BUDGET = 3, 4

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken: list[int] = []
        self.yielded: list[int] = []

    def __iter__(self) -> Iterator[int]:
        for item in range(self.count):
            flying = [each for each in self.taken if 2 * each not in self.yielded]
            assert len(flying) < self.DEPTH
            assert sum(flying) < self.BUDGET
            self.taken.append(item)
            yield item

    def mapped(self, copies: Copies, function: Callable[[int], int] = twice, **options: Any) -> Iterator[int]:
        """Map the items, and note the results as soon as they are there."""
        options = {"workers": 2, "depth": lambda: self.DEPTH, "cost": lambda each: each, "name": "map"} | options
        for result in copies[THREADS].parallel_map(function, self, budget=self.BUDGET, **options):
            self.yielded.append(result)
            yield result


def every_item_once(copies: Copies) -> None:
    counted = Counted(6)
    assert sorted(counted.mapped(copies)) == [0, 2, 4, 6, 8, 10]


def stages_chain(copies: Copies) -> None:
    parallel_map = copies[THREADS].parallel_map
    options: dict[str, Any] = {"workers": 2, "depth": lambda: 2}
    first = parallel_map(twice, range(5), name="first", **options)
    assert sorted(parallel_map(twice, first, name="second", **options)) == [0, 4, 8, 12, 16]


def the_function_fails(copies: Copies) -> None:
    begun: list[int] = []
    ended: list[int] = []

    def fail(item: int) -> int:
        begun.append(item)
        pause()
        ended.append(item)
        if item == 2:
            raise ValueError(item)
        return item

    results = copies[THREADS].parallel_map(fail, range(9), workers=2, depth=lambda: 3, name="map")
    with pytest.raises(ValueError, match="2"):
        list(results)
    assert sorted(begun) == sorted(ended), "items in flight are finished before the error is raised"


def the_items_fail(copies: Copies) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("items")

    with pytest.raises(KeyError, match="items"):
        list(copies[THREADS].parallel_map(twice, items(), workers=2, depth=lambda: 3, name="map"))


def the_caller_stops(copies: Copies) -> None:
    counted = Counted(9)
    results = counted.mapped(copies)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(counted.taken) <= 1 + Counted.DEPTH


def what_has_not_begun_is_dropped(copies: Copies) -> None:
    """Once the caller has stopped, each of the two threads begins at most one more item, which it had in its hands."""
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return twice(item)

    results = copies[THREADS].parallel_map(work, range(9), workers=2, depth=lambda: 8, name="map")
    next(results)
    results.close()
    before = len(begun)
    wait_for_others()
    assert len(begun) <= before + 2


def the_caller_forgets(copies: Copies) -> None:
    results = Counted(9).mapped(copies)
    next(results)
    del results


def the_run_is_stopped(copies: Copies) -> None:
    """A stop ends the iteration, at whatever moment it comes; what was yielded by then was yielded once."""
    stopped = copies["threading"].Event()
    copies["threading"].Thread(target=stopped.set).start()
    results = list(Counted(6).mapped(copies, cancelled=stopped.is_set))
    assert len(set(results)) == len(results)
    assert set(results) <= {0, 2, 4, 6, 8, 10}


def stopped_while_an_item_hangs(copies: Copies) -> None:
    """Nobody waits for an item that hangs until the caller has gone on."""
    stopped, gone_on = copies["threading"].Event(), copies["threading"].Event()

    def hang(item: int) -> int:
        if item == 1:
            stopped.set()
            assert gone_on.wait()
        return 2 * item

    list(Counted(6).mapped(copies, hang, cancelled=stopped.is_set))
    gone_on.set()


def two_calls_share_threads(copies: Copies) -> None:
    executor = copies["concurrent.futures"].ThreadPoolExecutor(2)
    found: list[list[int]] = []

    def call() -> None:
        found.append(sorted(Counted(4).mapped(copies, executor=executor)))

    threads = [copies["threading"].Thread(target=call) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    executor.shutdown()
    assert found == [[0, 2, 4, 6]] * 2


def results_in_order(copies: Copies) -> None:
    held: list[int] = []

    def items() -> Iterator[int]:
        for item in range(7):
            assert len(held) < 3
            held.append(item)
            yield item

    for number, result in enumerate(copies[ORDERED].parallel_map(twice, items(), limit=3)):
        assert result == 2 * number
        held.remove(number)
    assert not held


def an_ordered_call_fails(copies: Copies) -> None:
    begun: list[int] = []
    ended: list[int] = []

    def fail(item: int) -> int:
        begun.append(item)
        pause()
        ended.append(item)
        if item == 1:
            raise ValueError(item)
        return item

    results = copies[ORDERED].parallel_map(fail, range(9), limit=3)
    assert next(results) == 0
    with pytest.raises(ValueError, match="1"):
        list(results)
    assert sorted(begun) == sorted(ended)


def the_ordered_callers_stop(copies: Copies) -> None:
    results = copies[ORDERED].parallel_map(twice, iter(range(9)), limit=2)
    assert next(results) == 0
    results.close()


class Reserving:
    """Threads that hold parts of a budget of 10, each several times."""

    SIZE = 10

    def __init__(self, copies: Copies, *amounts: int) -> None:
        self.budget = copies[THREADS].Budget(self.SIZE)
        self.held = 0
        threads = [copies["threading"].Thread(target=partial(self.hold, each)) for each in amounts]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert self.budget.held == self.held == 0

    def hold(self, amount: int) -> None:
        for fails in (True, False):
            try:
                with self.budget.reserve(amount):
                    self.held += min(amount, self.SIZE)
                    assert self.held <= self.SIZE
                    pause()
                    self.held -= min(amount, self.SIZE)
                    if fails:
                        raise KeyError
            except KeyError:
                pass


def parts_of_a_budget(copies: Copies) -> None:
    Reserving(copies, 3, 4, 6, 50)


def all_of_a_budget(copies: Copies) -> None:
    Reserving(copies, 10, 11)


CASES: list[Case] = [
    every_item_once,
    stages_chain,
    the_function_fails,
    the_items_fail,
    the_caller_stops,
    what_has_not_begun_is_dropped,
    the_caller_forgets,
    the_run_is_stopped,
    stopped_while_an_item_hangs,
    two_calls_share_threads,
    results_in_order,
    an_ordered_call_fails,
    the_ordered_callers_stop,
    parts_of_a_budget,
    all_of_a_budget,
]


@pytest.mark.parametrize("schedules", SCHEDULES)
@pytest.mark.parametrize("case", CASES)
def test_in_every_order(case: Case, schedules: int, copies: Copies) -> None:
    assert explore(partial(case, copies), range(schedules)) == schedules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "preemptions"),
    [
        (the_items_fail, 2),
        (the_caller_stops, 2),
        (the_caller_forgets, 1),
        (the_function_fails, 1),
        (every_item_once, 1),
        (all_of_a_budget, 2),
    ],
)
def test_in_all_orders_with_few_preemptions(case: Case, preemptions: int, copies: Copies) -> None:
    most = 100_000
    count = explore_all(partial(case, copies), preemptions=preemptions, most=most)
    print(f"{case.__name__}: {count} orders")
    assert count < most


RESERVES = """\
        with self.changed:
            self.changed.wait_for(lambda: self.held + wanted <= self.size)
            self.held += wanted
"""
GIVES_BACK = """\
        try:
            yield
        finally:
            with self.changed:
"""
CALLS_BACK = "future.add_done_callback(lambda done, price=price: finished.put((price, done)))"


@pytest.mark.parametrize(
    ("case", "before", "after", "found"),
    [
        pytest.param(parts_of_a_budget, "self.changed.notify_all()", "pass", "deadlock", id="no notify"),
        pytest.param(
            all_of_a_budget,
            RESERVES,
            RESERVES.replace("            self.held +=", "        with self.changed:\n            self.held +="),
            "AssertionError",
            id="check, then act",
        ),
        pytest.param(
            all_of_a_budget,
            GIVES_BACK,
            "        yield\n        if True:\n            with self.changed:\n",
            "deadlock",
            id="no release after an error",
        ),
        pytest.param(
            every_item_once, CALLS_BACK, f"future.done() or {CALLS_BACK}", "nothing happens", id="a result too soon"
        ),
        pytest.param(
            what_has_not_begun_is_dropped,
            "cancel_futures=True",
            "cancel_futures=False",
            "AssertionError",
            id="not dropped",
        ),
        pytest.param(every_item_once, "taken < depth()", "taken <= depth()", "AssertionError", id="one item too many"),
        pytest.param(
            stopped_while_an_item_hangs, "wait=wait and not cancelled()", "wait=wait", "deadlock", id="waits for a hang"
        ),
    ],
)
def test_a_mistake_is_found(case: Case, before: str, after: str, found: str) -> None:
    broken = Copies(THREADS, changes={THREADS: {before: after}})
    with pytest.raises(ScheduleError, match=found):
        explore(partial(case, broken), range(500))
