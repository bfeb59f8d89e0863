"""Write a new run to S3 and submit its jobs exactly once, however often a submission is attempted.

The keys of a run's shards are fixed, and an attempt that seemed dead may still be writing. Therefore each of these
objects is written only if it does not exist yet:

1. `claim.json`. The attempt that writes it puts its shards where they belong and never replaces an object. Any other
   attempt puts its shards under `attempts/ITS_OWN_NAME/`.
2. `commit.json`, once an attempt has written all its shards: what was listed, and which folder holds the shards. Every
   later attempt continues from this one.
3. The shards of the commit, copied to where they belong unless they were written there. Every attempt copies the same
   content.
4. `run.json`. From here on the run is complete and does not change.
5. `submitting.json`. Then jobs are looked for by name, and the missing ones are submitted.
6. `jobs.json`: the ids of the jobs, which every later attempt returns.

After a crash between any two steps the next attempt continues. Without a crash nothing is copied.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from submitter.clients import Services
from submitter.config import Targets
from submitter.errors import UsageError
from submitter.jobs import JobSubmitter
from submitter.manifest import Run, RunLocation, shard_name
from submitter.new_run import NewRun
from submitter.objects import Objects
from submitter.parallel import parallel_map
from submitter.preflight import check_region
from submitter.shards import Shard, put_shards, put_shards_once


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A run and its jobs, once they have been submitted."""

    location: RunLocation
    run: Run
    jobs: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the JSON object that the Lambda and the command line answer with; every attempt returns the same."""
        return {
            "run_uri": self.location.uri,
            "jobs": list(self.jobs),
            "shards": self.run.shards,
            "images": self.run.images,
            **({} if self.run.tars is None else {"tars": self.run.tars}),
            "bytes": self.run.bytes,
            "skipped": dict(self.run.skipped),
            "empty_paths": list(self.run.empty_paths),
        }


def submit(
    new_run: NewRun, targets: Targets, services: Services, *, sleep: Callable[[float], None] = time.sleep
) -> Submission:
    """Write the run and submit its jobs, or return them as an earlier attempt left them.

    Raises:
        UsageError: there is no image; nothing has been written then.
    """
    targets.require()
    location = RunLocation(bucket=targets.bucket, run_id=new_run.run_id)
    objects = Objects(client=services.s3, bucket=targets.bucket)
    written = objects.get(location.run_key)
    run = Run.from_json(written) if written else _write_run(new_run, location, targets, objects, services)
    submitter = JobSubmitter(
        batch=services.batch,
        submitting=services.submitting,
        queue=targets.queue,
        definition=targets.definition,
        sleep=sleep,
    )
    jobs = _submit_jobs(run, location, objects, submitter)
    return Submission(location=location, run=run, jobs=tuple(jobs))


def _write_run(new_run: NewRun, location: RunLocation, targets: Targets, objects: Objects, services: Services) -> Run:
    committed = objects.get(_commit_key(location))
    if committed is None:
        check_region(targets, services)
        committed = _write_shards(new_run, location, targets, objects)
    commit = json.loads(committed)
    run = Run.from_json(json.dumps(commit["run"]))
    if commit["attempt"] is not None:
        _copy_shards(objects, location, commit["attempt"], run.shards)
    return Run.from_json(objects.put_once(location.run_key, run.to_json().encode()))


def _write_shards(new_run: NewRun, location: RunLocation, targets: Targets, objects: Objects) -> bytes:
    """Carry out steps 1 and 2, and return the valid commit, which may be another attempt's."""
    shards = new_run.shards()
    first = next(shards, None)
    if first is None:
        raise UsageError(nothing_found(new_run))
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
        run_id=new_run.run_id,
        bucket=targets.bucket,
        source=new_run.source,
        paths=new_run.folders,
        empty_paths=tuple(new_run.tally.empty_paths),
        kind=new_run.kind,
        images=new_run.images,
        tars=new_run.tars,
        bytes=new_run.tally.bytes,
        skipped=dict(new_run.tally.skipped),
        shards=count,
        shard_size=new_run.shard_size,
        table=targets.table,
        options=dict(new_run.options),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    commit = json.dumps({"attempt": attempt, "run": json.loads(run.to_json())}).encode()
    return objects.put_once(_commit_key(location), commit)


def _copy_shards(objects: Objects, location: RunLocation, attempt: str, count: int) -> None:
    folder = _attempt_prefix(location, attempt)

    def copy(number: int) -> None:
        objects.copy(folder + shard_name(number), location.shard_key(number))

    for _ in parallel_map(copy, range(count)):
        pass


def nothing_found(new_run: NewRun) -> str:
    """Return the sentence for a run without a single image."""
    where = ", ".join(repr(folder) if folder else "the whole bucket" for folder in new_run.folders)
    skipped = ", ".join(f"{count:,} by {reason}" for reason, count in sorted(new_run.tally.skipped.items()))
    why = f"objects left out: {skipped}" if skipped else "there is no object"
    what = {"tars": "tar file", "images": "image", "addresses": "address"}[new_run.kind]
    return f"no {what} was found in {where or new_run.source}: {why}. Nothing was written or submitted"


def _submit_jobs(run: Run, location: RunLocation, objects: Objects, submitter: JobSubmitter) -> list[str]:
    """Carry out steps 5 and 6, and return the ids of the jobs."""
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
