"""A deterministic scheduler: threads are greenlets that take turns at switch points, in an order that a seed decides.

Exactly one thread runs at a time. At a switch point, a strategy chooses who runs next among those that can. If none can
and no timeout is left to pass, the schedule is stuck: a deadlock. Time is virtual and passes only by timeouts.
"""

from __future__ import annotations

import gc
import itertools
import random
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from greenlet import GreenletExit, getcurrent, greenlet

from tests.schedules.strategies import Exhaustive, Strategy, strategy_of

MOST_STEPS = 40_000
"""A schedule with more switch points than this runs for ever."""

MOST_SECONDS = 1000.0
"""If so much virtual time has passed, threads only wait for their timeouts, again and again."""

EARLY_SECONDS = 1.0
"""A timeout of at most this may also pass while other threads can run, as on a machine that is busy elsewhere."""

COLLECT_EVERY = 200
"""Schedules between two runs of the garbage collector, which would otherwise act in any of them."""


class ScheduleError(AssertionError):
    """A schedule in which something went wrong. The message has its seed and, if threads are stuck, their stacks."""


class StuckError(Exception):
    """No thread can go on."""


class Task(greenlet):
    """A thread of a schedule."""

    def __init__(self, scheduler: Scheduler, function: Callable[[], object], name: str) -> None:
        super().__init__(self._run, scheduler.hub)
        self.scheduler = scheduler
        self.function = function
        self.name = name
        self.ready: Callable[[], bool] | None = None
        """What the thread waits for; None if it waits for nothing."""
        self.deadline: float | None = None
        self.expired = False
        self.ended = False
        self.locals: dict[object, dict[str, Any]] = {}

    def _run(self) -> None:
        try:
            self.function()
        except GreenletExit:
            pass
        except BaseException as error:
            self.scheduler.errors.append(error)
        finally:
            self.ended = True

    @property
    def able(self) -> bool:
        return self.ready is None or self.ready()


class Scheduler:
    """Runs one schedule."""

    def __init__(self, strategy: Strategy) -> None:
        self.strategy = strategy
        self.chance = random.Random(str(strategy))
        self.hub = getcurrent()
        self.tasks: list[Task] = []
        self.errors: list[BaseException] = []
        self.numbers = itertools.count(1)
        self.clock = 0.0
        self.steps = 0
        self.over = False

    def run(self, main: Callable[[], object]) -> None:
        """Run a function, and every thread that it starts, until all have ended.

        Raises:
            StuckError: threads wait for each other, or go round for ever.
            BaseException: what any thread raised.
        """
        self.spawn(main, "main")
        try:
            while self.tasks and not self.errors:
                self._choose().switch()
                self.tasks = [each for each in self.tasks if not each.ended]
        finally:
            self._tear_down()
        if self.errors:
            raise self.errors[0]

    def spawn(self, function: Callable[[], object], name: str) -> Task:
        """Add a thread. It runs as soon as it is chosen."""
        task = Task(self, function, name)
        self.tasks.append(task)
        self.strategy.begins(task)
        return task

    def switch(self, task: Task) -> None:
        """Let the strategy choose who goes on: this thread or another."""
        if self.over:
            return
        self.steps += 1
        if task.ready is None and self.strategy.stays():
            return
        try:
            chosen = self._choose(task)
        except StuckError as error:
            self.hub.throw(error)
        else:
            if chosen is not task:
                chosen.switch()

    def _choose(self, running: Task | None = None) -> Task:
        if self.steps > MOST_STEPS:
            raise StuckError(f"threads still run after {MOST_STEPS} steps\n{self._stacks()}")
        able = [each for each in self.tasks if not each.ended and each.able]
        if not able or self.strategy.hastens():
            waiting = [each for each in self.tasks if each.deadline is not None and each not in able]
            soonest = min(waiting, key=lambda each: each.deadline or 0.0, default=None)
            if soonest and (not able or (soonest.deadline or 0.0) <= self.clock + EARLY_SECONDS):
                return self._expire(soonest)
        if not able:
            raise StuckError(f"deadlock: no thread can go on\n{self._stacks()}")
        return able[0] if len(able) == 1 else self.strategy.pick(able, running)

    def _expire(self, task: Task) -> Task:
        self.clock = max(self.clock, task.deadline or 0.0)
        if self.clock > MOST_SECONDS:
            raise StuckError(f"nothing happens but that time passes\n{self._stacks()}")
        task.expired = True
        return task

    def _stacks(self) -> str:
        """Return what every thread is doing, without the scheduler's own part in it."""
        parts = []
        for task in self.tasks:
            frame = sys._getframe() if task is getcurrent() else task.gr_frame
            steps = [each for each in traceback.extract_stack(frame) if each.filename != __file__] if frame else []
            parts.append(f"thread {task.name}:\n" + ("".join(traceback.format_list(steps)) or "  not begun\n"))
        return "\n".join(parts)

    def _tear_down(self) -> None:
        """End the threads that are left. Whoever waits is thrown out; nobody switches any more."""
        self.over = True
        for task in self.tasks:
            while not task.dead:
                task.throw(GreenletExit)


def running() -> Task | None:
    """Return the thread of a schedule that runs now; None outside of schedules."""
    task = getcurrent()
    return task if isinstance(task, Task) else None


def number() -> int:
    """Return a number that nothing else in the schedule has: a hash that, unlike an address, the seed decides."""
    task = running()
    return next(task.scheduler.numbers) if task else 0


def pause() -> None:
    """A switch point: another thread may run here."""
    if task := running():
        task.scheduler.switch(task)


def wait_until(ready: Callable[[], bool], timeout: float | None = None) -> bool:
    """Block the running thread until a condition holds, and return whether it does; False after the timeout."""
    task = running()
    if task is None:
        if ready():
            return True
        raise RuntimeError("this would block outside of a schedule")
    if task.scheduler.over:
        raise GreenletExit
    task.ready = ready
    task.deadline = None if timeout is None else task.scheduler.clock + max(0.0, timeout)
    task.expired = False
    try:
        task.scheduler.switch(task)
        return not task.expired or ready()
    finally:
        task.ready = task.deadline = None


def wait_for_some_step(most: int) -> None:
    """Block the running thread until the schedule has come to a random step, or all others wait or have ended."""
    task = running()
    assert task is not None
    moment = task.scheduler.chance.randrange(most)
    wait_until(lambda: task.scheduler.steps >= moment, timeout=2 * EARLY_SECONDS)


def wait_for_others() -> None:
    """Block the running thread until it is the only one."""
    task = running()
    assert task is not None
    wait_until(lambda: all(each is task or each.ended for each in task.scheduler.tasks))


def run_schedule(case: Callable[[], object], strategy: Strategy) -> int:
    """Run one schedule of a case, and return its steps.

    Raises:
        ScheduleError: something went wrong; the message says how to repeat it.
    """
    scheduler = Scheduler(strategy)
    try:
        scheduler.run(case)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise ScheduleError(f"{strategy} after {scheduler.steps} steps: {type(error).__name__}: {error}") from error
    return scheduler.steps


def explore(case: Callable[[], object], seeds: Iterable[int]) -> int:
    """Run a case once for each seed, and return how many schedules were run.

    Half of the seeds walk at random, the others give threads priorities that change at a few moments.

    Raises:
        ScheduleError: of the first schedule in which the case fails, or threads are stuck.
    """
    count = 0
    with _uncollected():
        for count, seed in enumerate(seeds, 1):
            run_schedule(case, strategy_of(seed))
            if count % COLLECT_EVERY == 0:
                gc.collect()
    return count


def explore_all(case: Callable[[], object], *, preemptions: int, most: int) -> int:
    """Run a small case in every order that takes the processor away from a thread at most so often.

    Args:
        most: give up after so many schedules.

    Returns:
        The number of schedules; less than `most` if the orders were all of them.
    """
    exhaustive = Exhaustive(preemptions)
    count = 0
    with _uncollected():
        while count < most:
            count += 1
            run_schedule(case, exhaustive)
            if count % COLLECT_EVERY == 0:
                gc.collect()
            if not exhaustive.advance():
                break
    return count


class _uncollected:  # noqa: N801 - a context manager
    """No garbage collection within the block, so that it depends on the seed alone when generators are closed."""

    def __enter__(self) -> None:
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
