"""The children of a job and their attempts, as the scheduler records them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from scripts.simulation.retry_rules import Ending


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One process of a worker."""

    number: int
    """From 1, as Batch counts."""
    caller: str
    """The name of the process in `Gateway.calls`."""
    log: Path
    ending: Ending = field(default_factory=Ending)
    seconds: float = 0.0


@dataclass(slots=True, kw_only=True)
class Child:
    """A child of an array job, or a plain job."""

    job_id: str
    """Batch's id; `ID:INDEX` in an array."""
    index: int | None
    """None for a plain job."""
    attempts: list[Attempt] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "the job" if self.index is None else f"child {self.index}"

    @property
    def succeeded(self) -> bool:
        return bool(self.attempts) and self.attempts[-1].ending.succeeded
