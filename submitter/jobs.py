"""The Batch jobs of a run: their names, and the submission of those that are missing.

Batch has no token that makes SubmitJob safe to repeat, but it can list jobs by name. So a job is looked for by its
name before it is submitted, and again before a submission whose answer was lost is repeated.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from submitter.errors import is_transient
from submitter.manifest import Run, RunLocation

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import SubmitJobRequestTypeDef

MAX_ARRAY = 10_000
"""The most children of one array job that Batch allows; the fewest are two."""
_SUBMIT_ATTEMPTS = 5

GRACE_SECONDS = 10.0
"""How long an attempt waits for another attempt that has begun to submit the jobs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedJob:
    """One SubmitJob request: an array job, or a plain job for a single shard."""

    name: str
    offset: int
    """The number of its first shard."""
    size: int


def jobs_of(run: Run) -> list[PlannedJob]:
    """Return the jobs that a run needs."""
    return [
        PlannedJob(
            name=f"embedder-{run.run_id}-{offset}",
            offset=offset,
            size=min(MAX_ARRAY, run.shards - offset),
        )
        for offset in range(0, run.shards, MAX_ARRAY)
    ]


def find_jobs(batch: BatchClient, queue: str, run: Run) -> dict[str, str]:
    """Return the ids of the run's existing jobs, by name."""
    names = {job.name for job in jobs_of(run)}
    pages = batch.get_paginator("list_jobs").paginate(
        jobQueue=queue,  # a filter lists jobs in every state
        filters=[{"name": "JOB_NAME", "values": [f"embedder-{run.run_id}-*"]}],
    )
    found = [job for page in pages for job in page["jobSummaryList"] if job["jobName"] in names]
    found.sort(key=lambda job: job.get("createdAt", 0), reverse=True)
    return {job["jobName"]: job["jobId"] for job in found}  # of two with the same name, the older one


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSubmitter:
    """Submits the jobs of a run to one queue."""

    batch: BatchClient
    submitting: BatchClient
    """A client that never retries."""
    queue: str
    definition: str
    sleep: Callable[[float], None] = time.sleep

    def submit_missing(self, run: Run, location: RunLocation) -> list[str]:
        """Submit the run's missing jobs and return the ids of all, in the order of the shards."""
        found = find_jobs(self.batch, self.queue, run)
        for job in jobs_of(run):
            if job.name not in found:
                found[job.name] = self._submit(job, run, location)
        return [found[job.name] for job in jobs_of(run)]

    def wait_for_another(self, run: Run) -> None:
        """Wait until another attempt has submitted the jobs, but no longer than `GRACE_SECONDS`."""
        waited = 0.0
        while waited < GRACE_SECONDS and len(find_jobs(self.batch, self.queue, run)) < len(jobs_of(run)):
            self.sleep(1.0)
            waited += 1.0

    def _submit(self, job: PlannedJob, run: Run, location: RunLocation) -> str:
        for attempt in range(1, _SUBMIT_ATTEMPTS + 1):
            try:
                return self._submit_once(job, run, location)
            except (ClientError, BotoCoreError) as error:
                if not is_transient(error) or attempt == _SUBMIT_ATTEMPTS:
                    raise
            self.sleep(2 ** (attempt - 1) * random.uniform(0.5, 1))
            existing = find_jobs(self.batch, self.queue, run).get(job.name)
            if existing:
                return existing
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _submit_once(self, job: PlannedJob, run: Run, location: RunLocation) -> str:
        environment = {
            "EMBEDDER_SOURCE": location.uri,
            "EMBEDDER_STORE": f"dynamodb://{run.table}",
            "EMBEDDER_SHARD_OFFSET": str(job.offset),
        }
        request: SubmitJobRequestTypeDef = {
            "jobName": job.name,
            "jobQueue": self.queue,
            "jobDefinition": self.definition,
            "containerOverrides": {
                "environment": [{"name": name, "value": value} for name, value in environment.items()]
            },
        }
        if job.size > 1:
            request["arrayProperties"] = {"size": job.size}
        return self.submitting.submit_job(**request)["jobId"]
