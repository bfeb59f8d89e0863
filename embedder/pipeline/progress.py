"""Shows the progress of a run: a bar on a terminal, log lines elsewhere, and metrics in the cloud."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from embedder import exit_codes
from embedder.pipeline.ledger import Ledger
from embedder.pipeline.metrics import Meter, totals_of_report, totals_of_tally
from embedder.pipeline.notebook import NotebookProgress, in_notebook
from embedder.pipeline.report import Report

if TYPE_CHECKING:
    from tqdm import tqdm

Progress = Callable[[Ledger, int | None], None]
"""Called several times a second with the counts so far (`images`, `embedded`, `skipped`, `failed`, and `elapsed` in
seconds), and with the number of images in the source, None while it is not known."""

LOG_SECONDS = 10.0
logger = logging.getLogger("embedder")


class TerminalProgress:
    """A progress bar on stderr."""

    def __init__(self) -> None:
        self.bar: tqdm[Any] | None = None

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        if self.bar is None:
            from tqdm import tqdm

            self.bar = tqdm(unit=" images", dynamic_ncols=True, smoothing=0.1)
        self.bar.total = total
        self.bar.set_postfix(skipped=ledger.skipped, failed=ledger.failed, refresh=False)
        self.bar.update(ledger.images - self.bar.n)

    def close(self, _report: Report | None, **_about: bool) -> None:
        if self.bar is not None:
            self.bar.close()


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
    rate = ledger.images / ledger.elapsed
    return f"{ledger.images:,}{of} images ({ledger.skipped:,} skipped, {ledger.failed:,} failed), {rate:.1f}/s"


def _headline(report: Report) -> str:
    """Return the summary's first line, with the time, the reason for an early end, and the exit code."""
    early = f"; stopped early: {report.stopped}" if report.stopped else ""
    return f"{report.summary().splitlines()[0]} in {report.seconds:.1f} s{early}; exit code {report.exit_code}"


AnyProgress: TypeAlias = TerminalProgress | LogProgress | JsonProgress | NoProgress


def open_progress(*, quiet: bool, as_json: bool = False, deployment: str = "") -> AnyProgress:
    """Return the kind of progress that suits stderr: a terminal, a log for a person, or a log for a machine."""
    if quiet:
        return NoProgress()
    if as_json:
        return JsonProgress(Meter(deployment))
    return TerminalProgress() if sys.stderr.isatty() else LogProgress()


@contextmanager
def watching(wanted: Progress | bool) -> Iterator[Progress | None]:
    """Show a run's progress to whoever calls `embed`, within this block.

    Args:
        wanted: True for a bar in a notebook or on a terminal; False for nothing; or what to call instead.
    """
    if not isinstance(wanted, bool):
        yield wanted
        return
    bar: NotebookProgress | TerminalProgress | NoProgress = NoProgress()
    if wanted and in_notebook():
        bar = NotebookProgress()
    elif wanted and sys.stderr.isatty():
        bar = TerminalProgress()
    try:
        yield bar
    finally:
        bar.close(None)
