"""What a submission would do and cost. A dry run lists what there is and neither writes nor submits anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from submitter.cost import Cost, Rates, estimate, vcpu_hours, write_units
from submitter.errors import UsageError
from submitter.jobs import MAX_ARRAY
from submitter.manifest import Entry
from submitter.new_run import NewRun
from submitter.submit import nothing_found


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The figures of a run that has not been written."""

    images: int | None
    """None for tar files: nobody knows before they are read."""
    tars: int | None
    bytes: int
    shards: int
    jobs: int
    skipped: dict[str, int]
    empty_paths: tuple[str, ...]
    write_units: int | None
    vcpu_hours: float | None
    cost: Cost | None
    """None, like the two above, where the number of images is not known."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields of a submission, with no run and no jobs, and the estimates."""
        return {
            "dry_run": True,
            "run_uri": None,
            "jobs": [],
            "planned_jobs": self.jobs,
            "shards": self.shards,
            "images": self.images,
            **({} if self.tars is None else {"tars": self.tars}),
            "bytes": self.bytes,
            "skipped": self.skipped,
            "empty_paths": list(self.empty_paths),
            "write_units": self.write_units,
            "vcpu_hours": None if self.vcpu_hours is None else round(self.vcpu_hours, 2),
            "cost_usd": self.cost and self.cost.as_json(),
        }


@dataclass(slots=True)
class _Units:
    """Sums up the write units of the entries that pass."""

    bucket: str
    rates: Rates
    total: int = field(default=0)

    def count(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            self.total += write_units(self.bucket, entry.key, self.rates)
            yield entry


def dry_run(new_run: NewRun, bucket: str, rates: Rates) -> DryRun:
    """Read all entries and count them.

    Raises:
        UsageError: there is no image.
    """
    units = _Units(bucket, rates)
    shards = sum(1 for _ in replace(new_run, entries=units.count(new_run.entries)).shards())
    if not shards:
        raise UsageError(nothing_found(new_run))
    tally = new_run.tally
    images = new_run.images
    return DryRun(
        images=images,
        tars=new_run.tars,
        bytes=tally.bytes,
        shards=shards,
        jobs=-(-shards // MAX_ARRAY),
        skipped=dict(tally.skipped),
        empty_paths=tuple(tally.empty_paths),
        write_units=None if images is None else units.total,
        vcpu_hours=None if images is None else vcpu_hours(images=images, shards=shards, rates=rates),
        cost=None
        if images is None
        else estimate(
            images=images,
            objects=tally.seen,
            shards=shards,
            units=units.total,
            class_bytes=dict(tally.class_bytes),
            rates=rates,
        ),
    )
