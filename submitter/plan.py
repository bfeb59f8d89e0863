"""What a submission would do and cost, without writing or spending anything but the listing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from submitter.cost import Cost, Rates, estimate, vcpu_hours, write_units
from submitter.errors import UsageError
from submitter.jobs import MAX_ARRAY
from submitter.manifest import Entry
from submitter.order import Order
from submitter.shards import cut
from submitter.submit import nothing_found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The books of a run that does not exist."""

    images: int
    bytes: int
    shards: int
    jobs: int
    skipped: dict[str, int]
    empty_paths: tuple[str, ...]
    write_units: int
    vcpu_hours: float
    cost: Cost

    def to_dict(self) -> dict[str, Any]:
        """The fields of a submission, its run and jobs still missing, and the estimates."""
        return {
            "dry_run": True,
            "run_uri": None,
            "jobs": [],
            "planned_jobs": self.jobs,
            "shards": self.shards,
            "images": self.images,
            "bytes": self.bytes,
            "skipped": self.skipped,
            "empty_paths": list(self.empty_paths),
            "write_units": self.write_units,
            "vcpu_hours": round(self.vcpu_hours, 2),
            "cost_usd": self.cost.to_dict(),
        }


@dataclass(slots=True)
class _Units:
    """Adds up write units as entries pass."""

    bucket: str
    rates: Rates
    total: int = field(default=0)

    def count(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        for entry in entries:
            self.total += write_units(self.bucket, entry.key, self.rates)
            yield entry


def plan(order: Order, bucket: str, rates: Rates) -> Plan:
    """Read the whole order and count. Raises UsageError when it holds no image."""
    units = _Units(bucket, rates)
    shards = sum(1 for _ in cut(units.count(order.entries), order.shard_size))
    if not shards:
        raise UsageError(nothing_found(order))
    tally = order.tally
    return Plan(
        images=tally.images,
        bytes=tally.bytes,
        shards=shards,
        jobs=-(-shards // MAX_ARRAY),
        skipped=dict(tally.skipped),
        empty_paths=tuple(tally.empty_paths),
        write_units=units.total,
        vcpu_hours=vcpu_hours(tally.images, rates),
        cost=estimate(
            images=tally.images,
            objects=tally.seen,
            shards=shards,
            units=units.total,
            class_bytes=dict(tally.class_bytes),
            rates=rates,
        ),
    )
