"""The decoding processes' parent in every order: children die, hang and are replaced, and a close comes at any time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from embedder.errors import ConfigurationError, ImageError
from embedder.records import Preprocessing
from tests.schedules.children import CROP, Children, pixels_of
from tests.schedules.copies import Copies
from tests.schedules.scheduler import ScheduleError, explore

THREADS, PROCESSES = "embedder.system.threads", "embedder.decoding.processes"

BUDGET = 100

PREPROCESSING = Preprocessing(resize=CROP, crop=CROP, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))

SCHEDULES = [pytest.param(40, id="short"), pytest.param(3000, id="long", marks=pytest.mark.slow)]

IMAGES = {
    b"good 1": "picture",
    b"large 60 2": "picture",
    b"large 60 3": "picture",
    b"crash 4": "Crashed",
    b"killed 1 5": "picture",
    b"hang 6": "TooSlow",
    b"large 900 7": "picture",
    b"large-hang 60 8": "TooSlow",
    b"bad 9": "NotAnImage",
    b"cut 10": "Crashed",
    b"killed 2 11": "Crashed",
    b"good 12": "picture",
}
"""Images, and what becomes of each."""

ENDED = "the run has ended meanwhile"
"""What a thread hears that decodes after the close."""


class Decoding:
    """A decoder that several threads use, in one schedule."""

    def __init__(self, copies: Copies, children: Children, threads: int = 2) -> None:
        children.begin(BUDGET)
        self.children = children
        self.budget = copies[THREADS].Budget(BUDGET)
        self.decoder = copies[PROCESSES].IsolatedDecoder(PREPROCESSING, max_pixels=100, reserve=self.budget.reserve)
        self.threads = copies["concurrent.futures"].ThreadPoolExecutor(threads)

    def begin(self, *images: bytes) -> list[tuple[bytes, Any]]:
        return [(each, self.threads.submit(self.outcome, each)) for each in images]

    def outcome(self, image: bytes) -> str:
        try:
            found = self.decoder.decode(image)
        except ImageError as error:
            return error.error
        except ConfigurationError:
            return "not started"
        except RuntimeError as error:
            return str(error)
        assert found.pixels.tobytes() == pixels_of(image)
        return "picture"

    def check(self) -> None:
        """Wait for the threads. The decoder is closed, so everything that it had must be free again."""
        self.threads.shutdown()
        assert self.budget.held == 0
        assert not self.children.left(), "a process was left, or one of its pipes"
        assert self.children.most_held <= BUDGET, "large images took more memory together than the budget"


Case = Callable[[Copies, Children], object]


def every_outcome(copies: Copies, children: Children) -> None:
    decoding = Decoding(copies, children)
    outcomes = {image: future.result() for image, future in decoding.begin(*IMAGES)}
    assert outcomes == IMAGES
    assert len(decoding.decoder.children) <= 2, "children that have died are forgotten"
    decoding.decoder.close()
    decoding.check()


def large_images(copies: Copies, children: Children) -> None:
    chosen = [b"large 60 2", b"large-hang 60 8", b"large 900 7", b"killed 1 5"]
    decoding = Decoding(copies, children, threads=3)
    for image, future in decoding.begin(*chosen):
        assert future.result() == IMAGES[image]
    decoding.decoder.close()
    decoding.check()


def closed_meanwhile(copies: Copies, children: Children) -> None:
    decoding = Decoding(copies, children, threads=3)
    begun = decoding.begin(b"good 1", b"hang 6", b"crash 4", b"large 60 2", b"large 60 3", b"killed 1 5", b"hang 7")
    begun[0][1].result()
    decoding.decoder.close()
    for image, future in begun:
        expected = {IMAGES.get(image, "TooSlow"), ENDED}
        assert future.result() in expected, image
    decoding.check()


def closed_twice(copies: Copies, children: Children) -> None:
    decoding = Decoding(copies, children)
    begun = decoding.begin(b"good 1", b"hang 6")
    closing = copies["threading"].Thread(target=decoding.decoder.close)
    closing.start()
    decoding.decoder.close()
    closing.join()
    assert {future.result() for _, future in begun} <= {"picture", ENDED, "TooSlow"}
    decoding.check()


def no_process_can_be_started(copies: Copies, children: Children) -> None:
    decoding = Decoding(copies, children)
    children.unstartable = 1
    outcomes = sorted(future.result() for _, future in decoding.begin(b"good 1", b"good 2", b"good 3"))
    assert outcomes == ["not started", "picture", "picture"]
    decoding.decoder.close()
    decoding.check()


CASES: list[Case] = [every_outcome, large_images, closed_meanwhile, closed_twice, no_process_can_be_started]


def copied(changes: Mapping[str, str] | None = None) -> tuple[Copies, Children]:
    children = Children()
    return Copies(THREADS, PROCESSES, changes={PROCESSES: changes or {}}, modules=children.modules()), children


@pytest.fixture(scope="module")
def world() -> tuple[Copies, Children]:
    return copied()


@pytest.mark.parametrize("schedules", SCHEDULES)
@pytest.mark.parametrize("case", CASES)
def test_in_every_order(case: Case, schedules: int, world: tuple[Copies, Children]) -> None:
    assert explore(partial(case, *world), range(schedules)) == schedules


class TestBugs:
    """What the schedules found: with the mistake put back, they find it again."""

    def test_closing_met_a_list_of_children_that_had_become_empty(self) -> None:
        each = "for child in children:\n            "
        mistake = {
            "            children = list(self.children)  # threads whose child dies remove it meanwhile\n": "",
            f"{each}child.process.kill()": each.replace(" children", " self.children") + "child.process.kill()",
            f"{each}child.end()": "while self.children:\n            self.children.pop().end()",
            "self.children.remove(child)": "child in self.children and self.children.remove(child)",
        }
        with pytest.raises(ScheduleError, match="IndexError: pop from empty list"):
            explore(partial(closed_meanwhile, *copied(mistake)), range(500))

    def test_memory_was_given_back_before_the_process_that_had_it_was_ended(self) -> None:
        kill = "                self.process.kill()\n                self.process.wait()  #"
        mistake = {
            kill: "                #",
            "        child.end()\n\n\nclass": "        child.process.kill()\n        child.end()\n\n\nclass",
        }
        with pytest.raises(ScheduleError, match="more memory together than the budget"):
            explore(partial(large_images, *copied(mistake)), range(500))


@pytest.mark.parametrize(
    ("case", "before", "after", "found"),
    [
        pytest.param(every_outcome, "            self.children.append(child)\n", "", "not in list", id="not noted"),
        pytest.param(
            closed_twice,
            "        with self.using:\n            self.s",
            "        if True:\n            self.s",
            "a closed",
            id="closed under a reader",
        ),
        pytest.param(
            closed_meanwhile,
            f'            if self.closed:\n                raise RuntimeError("{ENDED}")\n            try:',
            "            try:",
            "a process was left",
            id="started too late",
        ),
    ],
)
def test_a_mistake_is_found(case: Case, before: str, after: str, found: str) -> None:
    with pytest.raises(ScheduleError, match=found):
        explore(partial(case, *copied({before: after})), range(500))
