"""How a schedule chooses who runs next: at random, by priorities, or all orders one after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")

HASTE = 1 / 32
"""How often a random walk lets a short timeout pass although threads can still run."""

CHANGES = 3
"""How often a schedule by priorities takes the processor away from the thread that has it."""

LEAST_STEPS, MOST_STEPS = 16, 4096
"""The steps within which these changes fall: as many as a case may have, on a logarithmic scale."""


class Strategy(Protocol):
    """Decides at every switch point."""

    def begins(self, task: object) -> None:
        """Note a new thread."""

    def stays(self) -> bool:
        """Whether the running thread simply goes on."""

    def hastens(self) -> bool:
        """Whether the soonest timeout passes now, if it is short."""

    def pick(self, able: Sequence[T], running: object) -> T:
        """Choose among the threads that can run, which are given in the order in which they began."""


class Walk:
    """Chooses at random. How often the running thread goes on depends on the seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.stay = self.chance.choice([0.0, 0.5, 0.9])

    def __str__(self) -> str:
        return f"seed {self.seed} (random walk)"

    def begins(self, task: object) -> None:
        pass

    def stays(self) -> bool:
        return self.chance.random() < self.stay

    def hastens(self) -> bool:
        return self.chance.random() < HASTE

    def pick(self, able: Sequence[T], running: object) -> T:  # noqa: ARG002
        return self.chance.choice(able)


class Priorities:
    """Runs the thread of the highest priority, which is random; at a few random steps the running one gets the lowest.

    This is probabilistic concurrency testing (Burckhardt and others, 2010). An error that few changes of thread suffice
    for is found with a probability that does not fall exponentially with the number of steps.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        steps = LEAST_STEPS * (MOST_STEPS / LEAST_STEPS) ** self.chance.random()
        self.changes = {self.chance.randrange(round(steps)) for _ in range(CHANGES)}
        self.priority: dict[object, float] = {}
        self.step = 0

    def __str__(self) -> str:
        return f"seed {self.seed} (priorities)"

    def begins(self, task: object) -> None:
        self.priority[task] = self.chance.random()

    def stays(self) -> bool:
        return False

    def hastens(self) -> bool:
        return False

    def pick(self, able: Sequence[T], running: object) -> T:
        self.step += 1
        if self.step in self.changes and running in self.priority:
            self.priority[running] = -float(self.step)
        return max(able, key=self.priority.__getitem__)


class Exhaustive:
    """Goes through all orders with few preemptions, depth first: `advance` begins the next one.

    A preemption takes the processor away from a thread that could go on. Choices among others, when the running thread
    waits or has ended, are free.
    """

    def __init__(self, preemptions: int) -> None:
        self.preemptions = preemptions
        self.path: list[tuple[int, int]] = []
        """What was chosen at each choice, and of how many."""
        self._restart()

    def __str__(self) -> str:
        return f"choices {[chosen for chosen, _ in self.path]}"

    def _restart(self) -> None:
        self.at = 0
        self.left = self.preemptions

    def advance(self) -> bool:
        """Go to the next order, and return whether there is one."""
        while self.path and self.path[-1][0] + 1 == self.path[-1][1]:
            self.path.pop()
        if self.path:
            chosen, among = self.path.pop()
            self.path.append((chosen + 1, among))
        self._restart()
        return bool(self.path)

    def begins(self, task: object) -> None:
        pass

    def stays(self) -> bool:
        return not self.left

    def hastens(self) -> bool:
        return False

    def pick(self, able: Sequence[T], running: object) -> T:
        goes_on = running in able
        if goes_on and not self.left:
            return next(each for each in able if each is running)
        ordered = sorted(able, key=lambda each: each is not running)
        if self.at == len(self.path):
            self.path.append((0, len(ordered)))
        chosen, among = self.path[self.at]
        assert among == len(ordered), "the case depends on more than the order of its threads"
        self.at += 1
        self.left -= goes_on and chosen > 0
        return ordered[chosen]


def strategy_of(seed: int) -> Strategy:
    """Return what a seed stands for."""
    return Priorities(seed) if seed % 2 else Walk(seed)
