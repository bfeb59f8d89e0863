"""Shows the progress of a run: a bar on a terminal, log lines elsewhere, and metrics in the cloud."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from embedder import exit_codes
from embedder.pipeline.ledger import Ledger, Tally
from embedder.pipeline.metrics import Meter, totals_of_report, totals_of_tally
from embedder.pipeline.notebook import NotebookProgress, NotebookSteps, in_notebook
from embedder.pipeline.report import Report
from embedder.system.steps import are_shown, shown_on
from embedder.terminal.bars import Bars, duration, steps_on_terminal
from embedder.terminal.screen import is_terminal, speed

if TYPE_CHECKING:
    from tqdm import tqdm

Progress = Callable[[Ledger, int | None], None]
"""Called several times a second with the counts so far (`images`, `embedded`, `skipped`, `failed`, and `elapsed` in
seconds), and with the number of images in the source, None while it is not known: they are counted beside the work."""

LOG_SECONDS = 10.0
PACE_SECONDS = 20.0
"""The time whose images a rate is of, so that it follows the images."""
logger = logging.getLogger("embedder")


class Pace:
    """How many images are embedded in a second. Skipped images cost nothing, and so do not count."""

    def __init__(self) -> None:
        self.marks: deque[tuple[float, int]] = deque()
        """Moments of the last seconds, and how many images were embedded by then."""

    def note(self, now: float, embedded: int) -> None:
        """Take down how many images are embedded at a moment, in seconds of a clock, once the model is loaded."""
        if self.marks and self.marks[-1][1] == embedded:
            return
        self.marks.append((now, embedded))
        while now - self.marks[0][0] > PACE_SECONDS and len(self.marks) > 2:
            self.marks.popleft()

    @property
    def rate(self) -> float | None:
        """Images in a second; None until some time has passed."""
        if len(self.marks) < 2:
            return None
        (began, before), (ended, embedded) = self.marks[0], self.marks[-1]
        return (embedded - before) / (ended - began) if ended > began else None


class TerminalProgress(Bars):
    """A bar on stderr for the images, and one below it for each step that takes seconds; a `Display` of steps.

    Args:
        stopping: returns whether the run has been asked to stop.
    """

    def __init__(self, stopping: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self.stopping = stopping
        self.bar: tqdm[Any] | None = None
        self.pace = Pace()

    def __call__(self, ledger: Ledger, _total: int | None) -> None:
        if self.bar is None:
            self.bar = self.add(ledger.total, lambda bar: self._text(bar, ledger))

    def _text(self, bar: tqdm[Any], ledger: Ledger) -> str:
        """Bring the bar up to date, and return its text."""
        tally = ledger.tally()
        if "load" in tally.seconds:
            self.pace.note(time.monotonic(), tally.embedded)
        found = ledger.expected() if ledger.total is None else (ledger.total, True)
        # Files may have come since they were counted.
        total = None if found is None else max(found[0], tally.images)
        bar.total, bar.n = total, tally.images
        text = bar_text(tally, total, self.pace.rate, about="" if found and found[1] else "about ")
        return f"stopping, {text}" if self.stopping() else text

    def close(self, _report: Report | None = None, **_about: bool) -> None:
        super().close()


def bar_text(tally: Tally, total: int | None, rate: float | None, *, about: str = "") -> str:
    """Return what stands beside the bar: `208 of 875, 29/s, 23 s left, 1 failed`.

    Args:
        about: stands before a total that is an estimate.
    """
    parts = [f"{tally.images:,} of {about}{total:,}" if total else f"{tally.images:,} images"]
    if rate:
        parts.append(speed(rate))
        if total:
            parts.append(f"{duration((total - tally.images) / rate)} left")
    if tally.skipped:
        parts.append(f"{tally.skipped:,} unchanged")
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    return ", ".join(parts)


class LogProgress:
    """A log line every `LOG_SECONDS`."""

    def __init__(self) -> None:
        self.next = time.monotonic() + LOG_SECONDS

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + LOG_SECONDS
        logger.info("%s", _sentence(ledger, total))

    def close(self, _report: Report | None, **_about: bool) -> None:
        """Do nothing: a log line keeps nothing open."""


class JsonProgress:
    """A JSON log line every `LOG_SECONDS` and at the end, with what was added since the line before as metrics.

    Args:
        meter: a meter that no other run uses.
    """

    def __init__(self, meter: Meter) -> None:
        self.meter = meter
        self.next = time.monotonic() + LOG_SECONDS
        self.ledger: Ledger | None = None
        self.closed = False
        self.writing = threading.Lock()

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        self.ledger = ledger
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + LOG_SECONDS
        with self.writing:
            if not self.closed:
                lines = self.meter.take(totals_of_tally(ledger.tally()))
                self._log(logging.INFO, _sentence(ledger, total), lines, total=total)

    def close(self, report: Report | None, *, counted: bool = False) -> None:
        """Write the last lines, so that all lines together add up to the report.

        Args:
            report: the run's report; None if an error ended the run. Its counts are then taken from the ledger.
            counted: whether the metrics of this report were written before.
        """
        with self.writing:  # another thread calls this if a signal has to end the run
            self.closed = True
            self._close(report, counted)

    def _close(self, report: Report | None, counted: bool) -> None:
        if report is None:
            if self.ledger and (lines := self.meter.take(totals_of_tally(self.ledger.tally()))):
                self._log(logging.WARNING, f"{_sentence(self.ledger, None)}; then an error ended the run", lines)
            return
        for failure in report.first_failures:
            message = f"{failure.image_id!r} failed in {failure.stage}: {failure.error}: {failure.message}"
            about = {"image_id": failure.image_id, "stage": failure.stage, "error": failure.error}
            logger.warning("%s", message, extra={"fields": about})
        lines = [] if counted else self.meter.take(totals_of_report(report))
        level = logging.INFO if report.exit_code == exit_codes.DONE else logging.WARNING
        self._log(level, _headline(report), lines, report=report.as_json())

    def _log(self, level: int, message: str, lines: list[dict[str, Any]], **members: Any) -> None:
        first, *others = lines or [{}]
        for line in others:
            logger.log(level, "failed in %s: %s", line["Stage"], line["FailedImages"], extra={"fields": line})
        logger.log(level, "%s", message, extra={"fields": {**members, **first}})


class NoProgress:
    """No progress."""

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        """Print nothing."""

    def close(self, _report: Report | None, **_about: bool) -> None:
        """Do nothing."""


def _sentence(ledger: Ledger, total: int | None) -> str:
    of = f" of {total:,}" if total else ""
    rate = ledger.embedded / ledger.elapsed
    return f"{ledger.images:,}{of} images ({ledger.skipped:,} skipped, {ledger.failed:,} failed), {rate:.1f}/s embedded"


def _headline(report: Report) -> str:
    """Return the counts, the time, the reason for an early end, and the exit code."""
    early = f"; stopped early: {report.stopped}" if report.stopped else ""
    return f"{report.balance()} in {report.seconds:.1f} s{early}; exit code {report.exit_code}"


AnyProgress: TypeAlias = TerminalProgress | LogProgress | JsonProgress | NoProgress


def open_progress(
    *,
    quiet: bool,
    as_json: bool = False,
    deployment: str = "",
    stopping: Callable[[], bool] = lambda: False,
) -> AnyProgress:
    """Return the kind of progress that suits stderr: a terminal, a log for a person, or a log for a machine.

    Args:
        stopping: returns whether the run has been asked to stop.
    """
    if quiet:
        return NoProgress()
    if as_json:
        return JsonProgress(Meter(deployment))
    return TerminalProgress(stopping) if is_terminal(sys.stderr) else LogProgress()


@contextmanager
def watching(wanted: Progress | bool) -> Iterator[Progress | None]:
    """Show a run's progress and its steps to whoever calls `embed`, within this block.

    Args:
        wanted: True for bars in a notebook or on a terminal; False for nothing; or what to call instead.
    """
    if not isinstance(wanted, bool):
        yield wanted
        return
    bar: NotebookProgress | TerminalProgress
    if wanted and in_notebook():
        bar = NotebookProgress()
    elif wanted and is_terminal(sys.stderr):
        bar = TerminalProgress()
    else:
        yield NoProgress()
        return
    try:
        with shown_on(bar):
            yield bar
    finally:
        bar.close(None)


@contextmanager
def steps_shown(wanted: bool) -> Iterator[None]:
    """Show the steps within this block in a notebook or on a terminal, if wanted, and if nobody shows them already."""
    if not wanted or are_shown():
        yield
    elif in_notebook():
        with shown_on(NotebookSteps()):
            yield
    else:
        with steps_on_terminal():
            yield
