"""The scheduler finds mistakes, repeats what it found, and goes through all orders of a small case."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import combinations
from typing import Any

import pytest

from tests.schedules.copies import Copies
from tests.schedules.scheduler import ScheduleError, explore, explore_all, pause

COPIES = Copies("tests.schedules.mistakes")
MISTAKES: Any = COPIES["tests.schedules.mistakes"]


def together(*functions: Callable[[], object]) -> None:
    """Run functions in threads of their own, and wait for them."""
    threads = [COPIES["threading"].Thread(target=each) for each in functions]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def visits() -> None:
    counter = MISTAKES.Visits()
    together(counter.add, counter.add)
    assert counter.count == 2, "a visit was lost"


def tickets() -> None:
    box = MISTAKES.Tickets(1)
    together(box.take, box.take)
    assert box.left == 0, "a ticket was sold twice"


def accounts() -> None:
    moving = MISTAKES.Accounts()

    def forth() -> None:
        moving.move(0, 1)

    def back() -> None:
        moving.move(1, 0)

    together(forth, back)


def door() -> None:
    door = MISTAKES.Door()
    together(door.open, door.enter)


def alone(name: str) -> None:
    getattr(MISTAKES.Meeting(), name)()


@pytest.mark.parametrize(
    ("case", "found"),
    [
        (visits, "a visit was lost"),
        (tickets, "a ticket was sold twice"),
        (accounts, r"deadlock(.|\n)*mistakes.py(.|\n)*mistakes.py"),
        (door, "deadlock"),
        (partial(alone, "spin"), "still run after"),
        (partial(alone, "poll"), "nothing happens but that time passes"),
        (partial(alone, "put_twice"), "deadlock"),
    ],
)
def test_mistakes_are_found_at_random_and_systematically(case: Callable[[], None], found: str) -> None:
    with pytest.raises(ScheduleError, match=found):
        explore(case, range(200))
    with pytest.raises(ScheduleError, match=found):
        explore_all(case, preemptions=1, most=1000)


def orders_of(steps: int, names: str, run: Callable[[Callable[[], None]], object]) -> list[str]:
    """Return the orders in which threads came to their steps, of every schedule that was run."""
    found: list[str] = []

    def case() -> None:
        order: list[str] = []

        def note(name: str) -> None:
            for _ in range(steps - 1):
                order.append(name)
                pause()
            order.append(name)

        together(*(partial(note, each) for each in names))
        found.append("".join(order))

    run(case)
    return found


def test_a_seed_repeats_its_schedule() -> None:
    first, second = (orders_of(3, "abc", lambda case: explore(case, range(20))) for _ in range(2))
    assert first == second
    assert len(set(first)) > 5, "seeds differ"


def test_all_orders_are_gone_through() -> None:
    never = orders_of(2, "ab", lambda case: explore_all(case, preemptions=0, most=10_000))
    assert set(never) == {"aabb", "bbaa"}
    always = orders_of(2, "ab", lambda case: explore_all(case, preemptions=9, most=10_000))
    assert set(always) == {"".join("ba"[at in places] for at in range(4)) for places in combinations(range(4), 2)}
