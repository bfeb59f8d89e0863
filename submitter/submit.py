"""From an order to a run in S3 to its jobs, once, however often it is tried.

The keys of a run's shards are fixed, and an attempt that seemed dead may still be writing. So:

1. `claim.json` is put if it is not there. The attempt that puts it writes its shards where they
   belong, never over anything; any other writes them to `attempts/ITS_OWN_NAME/`.
2. With all its shards written, an attempt puts `commit.json` if it is not there: what was listed, and
   in which of those folders. Whoever comes later goes on with that one.
3. The shards that count are copied to where they belong, unless they were written there. Everybody
   who does this copies the same, and nobody can write over it.
4. `run.json` is put if it is not there. From here on the run is whole and does not change.
5. `submitting.json` is put if it is not there, jobs are looked for by name, missing ones submitted.
6. `jobs.json` is put if it is not there: their ids, which every later attempt returns.

A crash between any two steps leaves something from which the next attempt goes on. Without a crash
nothing is copied.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from submitter.clients import Services
from submitter.config import Settings
from submitter.errors import UsageError
from submitter.flight import in_flight
from submitter.jobs import Submitter
from submitter.manifest import Run, RunLocation, shard_name
from submitter.objects import Objects
from submitter.order import Order
from submitter.shards import Shard, cut, put_shards, put_shards_once


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A run and its jobs, as they are in the end."""

    location: RunLocation
    run: Run
    jobs: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON that the Lambda and the terminal answer with; the same for every attempt."""
        return {
            "run_uri": self.location.uri,
            "jobs": list(self.jobs),
            "shards": self.run.shards,
            "images": self.run.images,
            "bytes": self.run.bytes,
            "skipped": dict(self.run.skipped),
            "empty_paths": list(self.run.empty_paths),
        }


def submit(
    order: Order, settings: Settings, services: Services, *, sleep: Callable[[float], None] = time.sleep
) -> Submission:
    """Write the run and submit its jobs, or find them as an earlier attempt left them.

    Raises UsageError when the order holds no image, before anything is written.
    """
    settings.require()
    location = RunLocation(bucket=settings.bucket, run_id=order.run_id)
    objects = Objects(client=services.s3, bucket=settings.bucket)
    written = objects.get(location.run_key)
    run = Run.from_json(written) if written else _write_run(order, location, settings, objects)
    submitter = Submitter(
        batch=services.batch,
        submitting=services.submitting,
        queue=settings.queue,
        definition=settings.definition,
        sleep=sleep,
    )
    jobs = _submit_jobs(run, location, objects, submitter)
    return Submission(location=location, run=run, jobs=tuple(jobs))


def _write_run(order: Order, location: RunLocation, settings: Settings, objects: Objects) -> Run:
    committed = objects.get(_commit_key(location))
    if committed is None:
        committed = _write_shards(order, location, settings, objects)
    commit = json.loads(committed)
    run = Run.from_json(json.dumps(commit["run"]))
    if commit["attempt"] is not None:
        _copy_shards(objects, location, commit["attempt"], run.shards)
    return Run.from_json(objects.put_once(location.run_key, run.to_json().encode()))


def _write_shards(order: Order, location: RunLocation, settings: Settings, objects: Objects) -> bytes:
    """Steps 1 and 2; returns the commit that counts, which may be another attempt's."""
    shards = cut(order.entries, order.shard_size)
    first = next(shards, None)
    if first is None:
        raise UsageError(nothing_found(order))
    attempt: str | None = secrets.token_hex(8)
    claim = json.dumps({"attempt": attempt}).encode()
    everything: Iterator[Shard] = chain([first], shards)
    if objects.put_once(f"{location.root}claim.json", claim) == claim:
        attempt = None
        count = put_shards_once(objects, everything, location.shard_key)
    else:
        folder = _attempt_prefix(location, str(attempt))
        count = put_shards(objects, everything, lambda number: folder + shard_name(number))
    run = Run(
        run_id=order.run_id,
        bucket=settings.bucket,
        source=order.source,
        paths=order.folders,
        empty_paths=tuple(order.tally.empty_paths),
        images=order.tally.images,
        bytes=order.tally.bytes,
        skipped=dict(order.tally.skipped),
        shards=count,
        shard_size=order.shard_size,
        table=settings.table,
        options=dict(order.options),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    commit = json.dumps({"attempt": attempt, "run": json.loads(run.to_json())}).encode()
    return objects.put_once(_commit_key(location), commit)


def _copy_shards(objects: Objects, location: RunLocation, attempt: str, count: int) -> None:
    folder = _attempt_prefix(location, attempt)

    def copy(number: int) -> None:
        objects.copy(folder + shard_name(number), location.shard_key(number))

    for _ in in_flight(copy, range(count)):
        pass


def nothing_found(order: Order) -> str:
    """The sentence for an order without a single image."""
    where = ", ".join(repr(folder) if folder else "the whole bucket" for folder in order.folders)
    skipped = ", ".join(f"{count:,} by {reason}" for reason, count in sorted(order.tally.skipped.items()))
    why = f"objects left out: {skipped}" if skipped else "there is no object at all"
    return f"no image was found in {where or order.source}: {why}. Nothing was written or submitted"


def _submit_jobs(run: Run, location: RunLocation, objects: Objects, submitter: Submitter) -> list[str]:
    """Steps 5 and 6."""
    known = objects.get(location.jobs_key)
    if known is None:
        mine = json.dumps({"attempt": secrets.token_hex(8)}).encode()
        if objects.put_once(f"{location.root}submitting.json", mine) != mine:
            submitter.wait_for_another(run)
        record = {
            "jobs": submitter.submit_missing(run, location),
            "queue": submitter.queue,
            "definition": submitter.definition,
            "submitted": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        known = objects.put_once(location.jobs_key, json.dumps(record, indent=2).encode())
    jobs: list[str] = json.loads(known)["jobs"]
    return jobs


def _commit_key(location: RunLocation) -> str:
    return f"{location.root}commit.json"


def _attempt_prefix(location: RunLocation, attempt: str) -> str:
    return f"{location.root}attempts/{attempt}/"
