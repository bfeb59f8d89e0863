"""Whole runs of the pipeline, in every order of their threads: every image ends once, whenever the run is stopped."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from embedder.errors import ConfigurationError
from tests.schedules.children import Children
from tests.schedules.copies import Copies
from tests.schedules.runs import ENDS, MODULES, Run, kind_of
from tests.schedules.scheduler import ScheduleError, explore, wait_for_some_step

Case = Callable[[Copies, Children], object]

SCHEDULES = [pytest.param(8, id="short"), pytest.param(1000, id="long", marks=pytest.mark.slow)]


def copied(changes: Mapping[str, Mapping[str, str]] | None = None) -> tuple[Copies, Children]:
    children = Children()
    return Copies(*MODULES, changes=changes, modules=children.modules()), children


@pytest.fixture(scope="module")
def world() -> tuple[Copies, Children]:
    return copied()


def images(*kinds: str) -> list[str]:
    return [f"{kind} {number}" for number, kind in enumerate(kinds)]


MIXED = images(
    *("good", "stored", "unlistable", "moved", "bad", "good"),
    *("collides", "rejected", "good", "unreadable", "crash", "large 60"),
)


def undisturbed(copies: Copies, children: Children) -> None:
    run = Run(copies, children, MIXED)
    run.run()
    expected = {each: ENDS[kind_of(each)] for each in MIXED}
    assert run.failed == {each: cause for each, (end, cause) in expected.items() if end == "failed"}
    assert run.store.made() == {each for each, (end, _) in expected.items() if end == "embedded"}
    assert (run.tally.embedded, run.tally.skipped) == (4, 2)


def stopped_by_a_signal(copies: Copies, children: Children) -> None:
    """A stop at any moment: an image that has not ended by then is in nobody's books, and left to the next run."""
    run = Run(copies, children, MIXED)

    def stop() -> None:
        wait_for_some_step(2000)
        run.stop.by_signal(signal.SIGTERM)

    copies["threading"].Thread(target=stop).start()
    run.run()
    assert run.tally.embedded == len(run.store.made())
    for image_id, cause in run.failed.items():
        assert cause == ENDS[kind_of(image_id)][1]


def the_source_goes_away(copies: Copies, children: Children) -> None:
    """What was read before is finished."""
    run = Run(copies, children, images("good", "good", "no-answer", "no-answer", "good", "good", "bad"))
    run.run()
    assert run.stop.error is not None
    assert run.tally.embedded == len(run.store.made())
    for image_id, cause in run.failed.items():
        assert cause == ENDS[kind_of(image_id)][1]


def the_store_goes_away(copies: Copies, children: Children) -> None:
    run = Run(copies, children, images("good", "full", "good", "good", "stored", "good"))
    run.run()
    assert run.stop.hurry.is_set()
    assert run.tally.embedded == len(run.store.made())
    causes = Counter(run.failed.values())
    assert causes == Counter({"write: StoreUnavailable": len(run.failed)})
    assert run.failed


def the_run_fails(copies: Copies, children: Children) -> None:
    run = Run(copies, children, images("good", "good", "fatal", "good", "bad", "good"))
    with pytest.raises(ConfigurationError, match="the table is gone"):
        run.run()


def nothing_to_embed(copies: Copies, children: Children) -> None:
    run = Run(copies, children, images("stored", "moved", "unreadable", "unlistable"))
    run.run()
    assert (run.tally.embedded, run.tally.skipped, run.tally.failed) == (0, 2, 2)
    assert run.pipeline.encoder is None, "no model is loaded for nothing"


def more_images_than_fit(copies: Copies, children: Children) -> None:
    """However slow the store is: images that were read and not stored yet are bounded by the depths of the stages."""
    run = Run(copies, children, images(*["good"] * 36))
    run.run()
    assert run.tally.embedded == 36
    fetched, decoded, encoded, written = 2 * 2, 2 * 2 + 2, (2 + 1) * 2, 2 * 2 * 2
    assert run.source.most_open <= fetched + decoded + encoded + written + 2


CASES: list[Case] = [
    undisturbed,
    more_images_than_fit,
    stopped_by_a_signal,
    the_source_goes_away,
    the_store_goes_away,
    the_run_fails,
    nothing_to_embed,
]


@pytest.mark.parametrize("schedules", SCHEDULES)
@pytest.mark.parametrize("case", CASES)
def test_in_every_order(case: Case, schedules: int, world: tuple[Copies, Children]) -> None:
    assert explore(partial(case, *world), range(schedules)) == schedules


LEDGER, STAGES = "embedder.pipeline.ledger", "embedder.pipeline.stages"

LANES = "embedder.encoders.lanes"
FINALLY = "        finally:\n            "
COUNTS = "            self.failed += 1\n"


def test_a_failure_after_the_end_of_a_stopped_run_was_counted_and_no_line_named_it() -> None:
    """A bug that the schedules found: with the mistake put back, they find it again."""
    world = copied({LEDGER: {f"            if self.closed:\n                return\n{COUNTS}": COUNTS}})
    with pytest.raises(ScheduleError, match="after the end"):
        explore(partial(stopped_by_a_signal, *world), range(500))


@pytest.mark.parametrize(
    ("module", "before", "after", "found"),
    [
        pytest.param(
            STAGES, "            with listing:\n", "            if True:\n", "already executing", id="no lock"
        ),
        pytest.param(STAGES, "                ended.set()\n", "", "still run", id="no end"),
        pytest.param(LANES, f"{FINALLY}self.idle.put(lane)", f"{FINALLY}pass", "nothing happens", id="a lane is kept"),
    ],
)
def test_a_mistake_is_found(module: str, before: str, after: str, found: str) -> None:
    with pytest.raises(ScheduleError, match=found):
        explore(partial(undisturbed, *copied({module: {before: after}})), range(500))
