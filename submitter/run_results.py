"""What the workers of a run have written: the reports of finished shards, and the images that failed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from submitter.clients import Services
from submitter.errors import UsageError
from submitter.manifest import Run, RunLocation, shard_number
from submitter.objects import Objects, Stored
from submitter.parallel import parallel_map


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """A finished shard."""

    embedded: int
    skipped: int
    failed: int
    written: datetime

    @property
    def images(self) -> int:
        return self.embedded + self.skipped + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedImage:
    """An image that a worker could not embed."""

    image_id: str
    key: str | None
    reason: str
    """The stage and the error: few enough values to count by."""


@dataclass(slots=True, kw_only=True)
class RunResults:
    """What the workers of one run have written. A report never changes, so each is read only once."""

    objects: Objects
    location: RunLocation
    run: Run
    reports: dict[int, ShardReport] = field(default_factory=dict)
    failures: dict[int, tuple[FailedImage, ...]] = field(default_factory=dict)
    """The failed images of the shards in `reports` that had any."""

    def refresh(self) -> None:
        """Read what was written since the last call."""
        new = [
            (number, stored)
            for stored in self.objects.list(self.location.reports_prefix)
            if (number := shard_number(stored.key)) is not None
            and number < self.run.shards
            and number not in self.reports
        ]
        for number, report, failures in parallel_map(self._read, new):
            self.reports[number] = report
            if failures:
                self.failures[number] = failures

    def _read(self, item: tuple[int, Stored]) -> tuple[int, ShardReport, tuple[FailedImage, ...]]:
        number, stored = item
        report = _parse_report(self.objects.get(stored.key), stored)
        failures = _read_failures(self.objects, self.location.failures_key(number)) if report.failed else ()
        return number, report, failures


def open_run(uri: str, services: Services) -> RunResults:
    """Open the run at `uri`.

    Raises:
        UsageError: there is no run, or it cannot be read.
    """
    try:
        location = RunLocation.parse(uri)
        objects = Objects(client=services.s3, bucket=location.bucket)
        body = objects.get(location.run_key)
        if body is None:
            raise UsageError(f"there is no run at {location.uri}: it has no run.json")
        return RunResults(objects=objects, location=location, run=Run.from_json(body))
    except ValueError as error:
        raise UsageError(str(error)) from error


def _parse_report(body: bytes | None, stored: Stored) -> ShardReport:
    try:
        found = json.loads(body or b"")
        counts = {name: int(found[name]) for name in ("embedded", "skipped", "failed")}
    except (ValueError, LookupError, TypeError) as error:
        raise UsageError(f"the report {stored.key} cannot be read: {error!r}") from error
    return ShardReport(**counts, written=stored.modified)


def _read_failures(objects: Objects, key: str) -> tuple[FailedImage, ...]:
    lines = (objects.get(key) or b"").split(b"\n")
    try:
        return tuple(_parse_failures(json.loads(line) for line in lines if line.strip()))
    except (ValueError, LookupError, TypeError) as error:
        raise UsageError(f"the failures in {key} cannot be read: {error!r}") from error


def _parse_failures(lines: Iterable[dict[str, Any]]) -> Iterable[FailedImage]:
    for line in lines:
        yield FailedImage(
            image_id=line["image_id"],
            key=line.get("key"),
            reason=f"{line['stage']}: {line['error']}",
        )
