"""What a person sees of a run while it goes on: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

from embedder.ledger import Ledger

if TYPE_CHECKING:
    from tqdm import tqdm

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

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


class LogProgress:
    """A log line every now and then."""

    def __init__(self) -> None:
        self.next = time.monotonic() + LOG_SECONDS

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + LOG_SECONDS
        of = f" of {total:,}" if total else ""
        logger.info(
            "%s%s images (%s skipped, %s failed), %.1f/s",
            f"{ledger.images:,}",
            of,
            f"{ledger.skipped:,}",
            f"{ledger.failed:,}",
            ledger.images / ledger.elapsed,
        )

    def close(self) -> None:
        """Nothing is held."""


class NoProgress:
    """Nothing at all."""

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is held."""


def open_progress(*, quiet: bool) -> TerminalProgress | LogProgress | NoProgress:
    """Return what fits where stderr goes."""
    if quiet:
        return NoProgress()
    return TerminalProgress() if sys.stderr.isatty() else LogProgress()
