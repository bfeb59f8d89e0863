"""The report of a run: its figures as text for a person, and as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from embedder.pipeline.notebook import table
from embedder.records import Failure


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Report:
    """The outcome of `embed` or `embedder run`."""

    images: int
    """embedded + skipped + failed."""
    embedded: int
    skipped: int
    """Images whose stored vector was already the right one."""
    moved: int
    """Skipped images that were in another place when they were embedded. Their `Source` is up to date now."""
    failed: int
    damaged: int
    """Embedded images that have lost a part of their data (`--damaged embed`)."""
    notices: Mapping[str, int]
    """Damage that touches no pixel, counted by kind."""
    ignored: Mapping[str, int]
    """Files that were not taken for images, counted by suffix or reason."""
    pruned: int
    """Vectors deleted because their image no longer exists."""
    seconds: float
    images_per_second: float
    """Embedded images in a second."""
    seconds_by_stage: Mapping[str, float]
    """Summed over a stage's threads, so their sum may exceed `seconds`."""
    failures_by_cause: Mapping[str, int]
    """Counted by `stage: error`."""
    model: str
    fingerprint: str
    dimension: int
    dtype: str
    device: str | None
    """None if there was nothing to embed, so that no model was loaded."""
    engine: str | None
    arithmetic: str | None
    """The numbers in which the model computed: `float32`, `bfloat16`, …"""
    source: str
    store: str
    stopped: str | None
    """Why the run ended before its images did; None if it did not."""
    exit_code: int
    total: int | None = None
    """How many images the source has; None where that is not known. More than `images` if the run was stopped."""
    hint: str | None = None
    """What would make a run like this faster; None if nothing is known."""
    first_failures: tuple[Failure, ...] = ()

    def __repr__(self) -> str:
        stopped = ", stopped early" if self.stopped else ""
        return (
            f"<Report: {self.embedded:,} embedded, {self.skipped:,} skipped, {self.failed:,} failed of "
            f"{self.images:,} images in {self.seconds:.1f} s{stopped}, in {self.store}>"
        )

    def _repr_html_(self) -> str:
        return table(
            {
                "images": f"{self.images:,}",
                "embedded": f"{self.embedded:,}",
                "skipped": f"{self.skipped:,} (unchanged)",
                "failed": f"{self.failed:,}",
                **{f"failed in {cause}": f"{count:,}" for cause, count in self.failures_by_cause.items()},
                **({"stopped early": self.stopped} if self.stopped else {}),
                "time": f"{self.seconds:.1f} s, {self.images_per_second:.1f} images/s",
                "made by": f"{self.fingerprint}, {self.dimension} x {self.dtype}",
                "run by": f"{self.engine} in {self.arithmetic} on {self.device}" if self.device else "no model needed",
                "store": self.store,
                "exit code": str(self.exit_code),
            }
        )

    def as_json(self) -> dict[str, Any]:
        """Return the contract's JSON object."""
        fields = asdict(self)
        del fields["first_failures"]
        return fields

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Report | None:
        """Make a report, without the first failures, from what `as_json` gave; None if a field is missing."""
        known = {field.name: field.default is MISSING for field in fields(cls) if field.name != "first_failures"}
        if not all(name in found for name, required in known.items() if required):
            return None
        return cls(**{name: found[name] for name in known if name in found})

    def balance(self) -> str:
        """Return the counts as one sum, for log lines."""
        return (
            f"{self.images:,} images = {self.embedded:,} embedded + {self.skipped:,} skipped (unchanged) "
            f"+ {self.failed:,} failed"
        )

    def summary(self) -> str:
        """Return what a person wants to know, as lines of at most 80 columns."""
        from embedder.pipeline.summary import summarize

        return "\n".join(summarize(self))
