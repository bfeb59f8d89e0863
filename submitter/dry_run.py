"""What a submission would do and cost. A dry run reads what there is and neither writes nor submits anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from submitter.clients import Services
from submitter.cost import TAR_PART, Cost, Rates, estimate, vcpu_hours, write_units
from submitter.errors import UsageError
from submitter.jobs import MAX_ARRAY
from submitter.manifest import Entry
from submitter.new_run import NewRun
from submitter.selection import DEFAULT_SUFFIXES
from submitter.submit import nothing_found
from submitter.tar_sample import TarEstimate, estimate_images, sampled


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """The figures of a run that has not been written."""

    images: int | None
    """None for tar files: nobody knows before they are read."""
    tars: int | None
    estimated: TarEstimate | None
    """Of tar files: how many images they probably hold. The figures below are then of these."""
    bytes: int
    shards: int
    jobs: int
    skipped: dict[str, int]
    empty_paths: tuple[str, ...]
    write_units: int
    vcpu_hours: float
    cost: Cost

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
            **({} if self.estimated is None else {"estimated": asdict(self.estimated)}),
            "bytes": self.bytes,
            "skipped": self.skipped,
            "empty_paths": list(self.empty_paths),
            "write_units": self.write_units,
            "vcpu_hours": round(self.vcpu_hours, 2),
            "cost_usd": self.cost.as_json(),
        }


@dataclass(slots=True)
class _Passed:
    """What is noted of the entries that pass."""

    bucket: str
    rates: Rates
    units: int = 0
    sample: list[Entry] = field(default_factory=list)
    """Of tar files."""

    def note(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            if entry.kind == "tar":
                self.sample = sampled([*self.sample, entry])
            else:
                self.units += write_units(self.bucket, entry.key, self.rates)
            yield entry


def dry_run(new_run: NewRun, bucket: str, rates: Rates, services: Services) -> DryRun:
    """Read all entries and count them.

    Args:
        services: to look into tar files.

    Raises:
        UsageError: there is no image.
    """
    passed = _Passed(bucket, rates)
    shards = sum(1 for _ in replace(new_run, entries=passed.note(new_run.entries)).shards())
    if not shards:
        raise UsageError(nothing_found(new_run))
    tally, images, units = new_run.tally, new_run.images, passed.units
    estimated, gets = None, images or 0
    if images is None:
        suffixes = new_run.options.get("suffixes", DEFAULT_SUFFIXES)
        estimated = estimate_images(
            services.s3, bucket, passed.sample, total=tally.bytes, suffixes=suffixes, rates=rates
        )
        images, units, gets = estimated.images, estimated.write_units, -(-tally.bytes // TAR_PART)
    return DryRun(
        images=new_run.images,
        tars=new_run.tars,
        estimated=estimated,
        bytes=tally.bytes,
        shards=shards,
        jobs=-(-shards // MAX_ARRAY),
        skipped=dict(tally.skipped),
        empty_paths=tuple(tally.empty_paths),
        write_units=units,
        vcpu_hours=vcpu_hours(images=images, shards=shards, rates=rates),
        cost=estimate(
            images=images,
            gets=gets,
            objects=tally.seen,
            shards=shards,
            units=units,
            class_bytes=dict(tally.class_bytes),
            rates=rates,
        ),
    )
