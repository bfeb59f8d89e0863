"""The time that a Lambda has left, checked while it lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from submitter.errors import OutOfTimeError

RESERVE_SECONDS = 10
"""Time kept for the steps after the listing: the last shards, run.json and the jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Ends a listing while there is still time to report it."""

    remaining_ms: Callable[[], int] | None = None
    """Lambda's `get_remaining_time_in_millis`; None on the command line, which has no time limit."""

    def check(self, listed: int) -> None:
        """Stop the listing if the remaining time is needed to finish.

        Raises:
            OutOfTimeError: fewer than `RESERVE_SECONDS` are left.
        """
        if self.remaining_ms is None or self.remaining_ms() > RESERVE_SECONDS * 1000:
            return
        raise OutOfTimeError(
            f"the Lambda ran out of time after listing {listed:,} objects, and nothing was submitted. "
            "Run `submitter submit` in a terminal, which has no time limit; or use an S3 Inventory "
            '("Inventory": "s3://…/manifest.json"); or submit narrower paths one by one; or give the function a '
            "longer timeout and more memory"
        )
