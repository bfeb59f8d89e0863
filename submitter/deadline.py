"""How much time a Lambda has left, asked while it lists."""

from collections.abc import Callable
from dataclasses import dataclass

from submitter.errors import OutOfTimeError

RESERVE_SECONDS = 10
"""Kept for what follows the listing: the last shards, run.json and the jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Ends a listing while there is still time to say so."""

    remaining_ms: Callable[[], int] | None = None
    """Lambda's `get_remaining_time_in_millis`; None in a terminal, which has all the time it wants."""

    def check(self, listed: int) -> None:
        """Raise OutOfTimeError if what is left is needed for finishing."""
        if self.remaining_ms is None or self.remaining_ms() > RESERVE_SECONDS * 1000:
            return
        raise OutOfTimeError(
            f"this Lambda's time ends after listing {listed:,} objects, and nothing was submitted. "
            "Run `submitter submit` in a terminal, which has no such limit; or give an S3 Inventory "
            '("Inventory": "s3://…/manifest.json"); or name narrower paths; or give the function a '
            "longer timeout and more memory"
        )
