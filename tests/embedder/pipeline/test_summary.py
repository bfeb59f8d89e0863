"""What a run says at its end, and what it knows of the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from embedder.encoders import Encoder
from embedder.options import RunOptions
from embedder.pipeline.counting import counting_ahead
from embedder.pipeline.hints import hint
from embedder.pipeline.ledger import Ledger, Tally
from embedder.pipeline.progress import Pace, bar_text
from embedder.pipeline.recipe import recipe
from embedder.pipeline.report import Report
from embedder.pipeline.summary import summarize
from embedder.records import Failure
from embedder.sources import Selection
from embedder.sources.folder import FolderSource
from tests.embedder.pictures import put
from tests.embedder.stand_in import PixelEncoder

DONE = Report(
    images=875,
    embedded=875,
    skipped=0,
    moved=0,
    failed=0,
    damaged=0,
    notices={},
    ignored={},
    pruned=0,
    seconds=29.8,
    images_per_second=29.36,
    seconds_by_stage={"encode": 55.0},
    failures_by_cause={},
    model="resnet18",
    fingerprint="resnet18/f37072fd/pre1/float32",
    dimension=512,
    dtype="float32",
    device="cpu",
    engine="openvino",
    arithmetic="bfloat16",
    source="photos",
    store="./vectors.db",
    stopped=None,
    exit_code=0,
    total=875,
)


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (DONE, "875 of 875 embedded in 29.8 s (29/s), stored in vectors.db"),
        (replace(DONE, embedded=0, skipped=875), "Nothing to do: all 875 images are in vectors.db already."),
        (replace(DONE, embedded=5, skipped=869, failed=1), "the others: 869 unchanged, 1 failed"),
        (replace(DONE, ignored={".heic": 2, ".md": 1}), "to embed .heic too: run with --suffixes"),
        (replace(DONE, embedded=0, failed=875), "None of 875 images could be embedded."),
        (
            replace(DONE, images=208, embedded=208, stopped="signal 2", exit_code=130),
            "Stopped after 208 of 875. Run the same command again to go on.",
        ),
        (
            replace(DONE, images=208, embedded=200, skipped=8, stopped="signal 2"),
            "200 embedded, 8 unchanged, stored in",
        ),
        (
            replace(DONE, images=9, stopped="S3 does not answer", total=None),
            "Stopped after 9 images: S3 does not answer.",
        ),
    ],
)
def test_the_summary_is_in_a_persons_words(report: Report, said: str) -> None:
    lines = summarize(report)
    assert any(line.startswith(said) for line in lines), lines
    assert max(map(len, lines)) <= 80
    assert "vectors.db" not in "".join(summarize(replace(DONE, embedded=0, failed=875)))


def test_long_failures_are_broken_between_words() -> None:
    failures = tuple(
        Failure(image_id=f"{number}\n.jpg", stage="decode", error="Corrupt", message="a word " * 30)
        for number in range(3)
    )
    report = replace(DONE, embedded=871, failed=4, first_failures=failures, failures_by_cause={"decode: Corrupt": 4})
    lines = summarize(report)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("failed: '2\\n.jpg' (decode): Corrupt: a word") for line in lines)
    assert any(line.startswith("all 4 failures: 4 decode: Corrupt") for line in lines)


def tally(*, embedded: int, skipped: int = 0, encode: float = 0.0, decode: float = 0.0) -> Tally:
    seconds = {"load": 1.0, "encode": encode, "decode": decode}
    return Tally(embedded=embedded, skipped=skipped, failed=0, causes={}, seconds=seconds)  # type: ignore[arg-type]


def test_rate_and_time_left_are_of_what_is_embedded() -> None:
    pace = Pace()
    for now, embedded in ((0.0, 0), (2.0, 40), (30.0, 60), (40.0, 160)):
        pace.note(now, embedded)
    assert pace.rate == 10, "that of the last seconds"
    assert bar_text(tally(embedded=160, skipped=500), 860, pace.rate) == "660 of 860, 10/s, 20 s left, 500 unchanged"
    assert bar_text(tally(embedded=3), None, None) == "3 images"


def test_a_hint_names_an_option_that_this_machine_knows_to_be_faster() -> None:
    encoder: Encoder = PixelEncoder(engine="torch", arithmetic="float32")
    options = RunOptions(weights="random", precision="full", engine="torch")
    measured = replace(recipe(options, None), measured=lambda: {"torch float32": 25.0, "mnn bfloat16": 100.0})
    said = hint(measured, options, encoder, tally(embedded=500, encode=19.0), 21.0)
    assert said == "the model was the limit; without --precision full --engine torch it would be 4.0 times as fast"
    assert hint(measured, options, encoder, tally(embedded=500, encode=9.0), 21.0) is None, "it was not the limit"
    assert hint(measured, options, encoder, tally(embedded=9, encode=5.0), 6.0) is None, "too short to matter"
    alone = replace(options, precision="auto", engine="auto", workers=1)
    slow = hint(measured, alone, encoder, tally(embedded=500, decode=19.0), 21.0)
    assert slow is None or "--workers" in slow, "it depends on the cores of this machine"


def test_images_are_counted_as_they_will_be_listed(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "below/2.jpg", ".hidden/3.jpg", "4.txt", "below/deep/5.png")
    (tmp_path / "below" / "up").symlink_to(tmp_path)
    source, ledger = FolderSource(tmp_path, Selection()), Ledger()
    with counting_ahead(source, ledger):
        listed = list(source.references())
        for _ in source.count():
            pass
    assert len(listed) == len(list(source.count())) == 3
    assert source.ignored == {"hidden": 1, ".txt": 1, "link to a folder above it": 1}
    assert ledger.total in (3, None), "the thread may have been too slow, and then says nothing"
