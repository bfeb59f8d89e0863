"""The books: every image once, and every failure in the file, whatever its name."""

from __future__ import annotations

import errno
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedder.errors import ImageError, TransientError
from embedder.pipeline.ledger import Ledger
from embedder.records import Failure, Reference
from tests.embedder.stored import many, stored


def failure(image_id: str, **changes: object) -> Failure:
    fields = {"stage": "decode", "error": "Corrupt", "message": "broken", "etag": "abc", **changes}
    return Failure(image_id=image_id, **fields)  # type: ignore[arg-type]


def test_every_image_is_one_of_three() -> None:
    ledger = Ledger()
    ledger.embed(many(5))
    ledger.skip(stored("s"))
    ledger.skip(stored("m"), moved=True)
    ledger.fail(failure("a"))
    ledger.fail(failure("b", transient=True))
    assert (ledger.images, ledger.embedded, ledger.skipped, ledger.failed, ledger.transient) == (9, 5, 2, 2, 1)
    assert ledger.moved == 1


def test_threads_lose_no_count() -> None:
    ledger, two = Ledger(), many(2)
    with ThreadPoolExecutor(8) as executor:
        for number in range(400):
            executor.submit(ledger.embed, two)
            executor.submit(ledger.fail, failure(str(number)))
    assert (ledger.embedded, ledger.failed, ledger.causes["decode", "Corrupt"]) == (800, 400, 400)


def test_a_thread_that_a_stop_left_behind_counts_nothing_any_more() -> None:
    """The report is made and its files are closed: a failure counted now would be one that no line names."""
    sink, notices = io.StringIO(), io.StringIO()
    ledger = Ledger(sink, notice_sinks=[notices])
    ledger.fail(failure("a"))
    ledger.close()
    sink.close()
    notices.close()
    ledger.fail(failure("b", transient=True))
    ledger.skip(stored("m"), moved=True)
    ledger.notice(Reference(image_id="c", uri="file:///c"), ["Damaged"])
    assert (ledger.images, ledger.failed, ledger.transient, ledger.moved) == (1, 1, 0, 0)
    assert not ledger.notices


def test_a_book_has_every_image_with_what_it_was_made_from() -> None:
    noted: list[tuple[str, str | None]] = []
    ledger = Ledger(book=lambda image: noted.append((image.image_id, image.etag)))
    ledger.embed(many(2))
    ledger.skip(stored("s", 7))
    ledger.fail(failure("f"))
    ledger.close()
    ledger.skip(stored("late"))
    assert noted == [("image-00000", "etag-0"), ("image-00001", "etag-1"), ("s", "etag-7"), ("f", "abc")]


def test_every_sink_gets_one_line_a_failure() -> None:
    sinks = [io.StringIO(), io.StringIO()]
    ledger = Ledger(*sinks)
    odd = ("line\nbreak.jpg", "next\x85\u2028.jpg", 'it\'s "quoted" 🐈', r"caf\xe9")
    for each in odd:
        ledger.fail(failure(each, message="two\nlines"))
    ledger.fail(failure("none", etag=None))
    assert sinks[0].getvalue() == sinks[1].getvalue()
    lines = [json.loads(line) for line in sinks[0].getvalue().splitlines()]
    assert [line["image_id"] for line in lines] == [*odd, "none"]
    assert set(lines[0]) == {"image_id", "stage", "error", "message", "etag"}
    assert lines[0]["message"] == "two\nlines"
    assert lines[-1]["etag"] is None


def test_only_the_first_few_failures_are_kept_in_memory() -> None:
    ledger = Ledger()
    for number in range(1000):
        ledger.fail(failure(str(number)))
    assert [each.image_id for each in ledger.first_failures] == [str(number) for number in range(10)]
    assert ledger.failed == 1000


def test_time_is_summed_over_threads() -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="inside"), ledger.timed("decode"):
        raise ValueError("inside")
    assert ledger.seconds["decode"] > 0


def test_a_tally_has_the_counts_of_its_moment() -> None:
    ledger = Ledger()
    ledger.embed(many(3))
    ledger.skip(stored("s"))
    ledger.fail_image(Reference(image_id="a", uri="file:///a", etag="e"), "check", ImageError("Collision", "two"))
    ledger.fail(failure("b"))
    ledger.fail(failure("c"))
    with ledger.timed("fetch"):
        time.sleep(0.002)
    tally = ledger.tally()
    ledger.embed(many(1))
    assert (tally.images, tally.embedded, tally.skipped, tally.failed) == (7, 3, 1, 3)
    assert list(tally.causes.items()) == [(("decode", "Corrupt"), 2), (("check", "Collision"), 1)]
    assert ledger.first_failures[0] == Failure(
        image_id="a", stage="check", error="Collision", message="two", etag="e", transient=False
    )
    assert 0.002 <= tally.seconds["fetch"] < ledger.elapsed < 60


def test_each_notice_is_counted_and_has_a_line() -> None:
    lines = io.StringIO()
    ledger = Ledger(notice_sinks=[lines])
    ledger.notice(Reference(image_id="a", uri="file:///a", etag="e"), ["NoEnd", "Damaged"])
    ledger.notice(Reference(image_id="b", uri="file:///b"), ["NoEnd"])
    assert ledger.notices == {"NoEnd": 2, "Damaged": 1}
    assert [json.loads(each) for each in lines.getvalue().splitlines()] == [
        {"image_id": "a", "notice": "NoEnd", "etag": "e"},
        {"image_id": "a", "notice": "Damaged", "etag": "e"},
        {"image_id": "b", "notice": "NoEnd", "etag": None},
    ]
    assert ledger.images == 0


def test_a_failure_that_cannot_be_written_is_transient() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(TransientError, match="No space left on device"):
        Ledger(Full()).fail(failure("a"))
