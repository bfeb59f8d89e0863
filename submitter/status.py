"""The progress of a run: the reports of its workers, and the states of its jobs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from submitter.clients import Services
from submitter.job_states import FORGOTTEN, JobStates, read_job_states
from submitter.run_results import RunResults


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A run at one moment. `images` is the sum of the next four fields, of those that are known."""

    run_uri: str
    images: int
    """In a run of tar files, those found so far."""
    embedded: int
    skipped: int
    """Images whose vector the table already held."""
    failed: int
    missing: int | None
    """Images of shards that no worker has finished. None if these are tar files: nobody knows before they are read."""
    tars: int | None
    """The number of tar files, in a run of these."""
    shards: int
    shards_done: int
    jobs: dict[str, int]
    """Counts by Batch's state; the children of arrays count, the arrays do not."""
    failures: dict[str, int]
    """Failed images by stage and error."""
    job_failures: dict[str, int]
    """Failed jobs by Batch's reason."""
    images_per_second: float | None
    """Since the submission, which includes the start of the instances."""
    seconds_left: float | None
    finished: bool
    """Whether all workers have ended, so that nothing above changes any more."""
    hints: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "hints": list(self.hints), "exit_code": self.exit_code}

    @property
    def exit_code(self) -> int:
        """1 if there is something to retry."""
        return int(self.failed > 0 or (self.finished and self.missing != 0))

    @property
    def part_done(self) -> float:
        """The finished part of the run, from 0 to 1: of its images, or where these are not known, of its shards."""
        if self.missing is None:
            return self.shards_done / self.shards
        return (self.images - self.missing) / self.images if self.images else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsRecord:
    """The content of `jobs.json`."""

    jobs: tuple[str, ...]
    queue: str
    definition: str
    submitted: datetime


def read_jobs(results: RunResults) -> JobsRecord | None:
    """Return the run's jobs, or None if they have not all been submitted."""
    body = results.objects.get(results.location.jobs_key)
    if body is None:
        return None
    found = json.loads(body)
    return JobsRecord(
        jobs=tuple(found["jobs"]),
        queue=found["queue"],
        definition=found["definition"],
        submitted=datetime.fromisoformat(found["submitted"]),
    )


def read_status(results: RunResults, services: Services) -> Status:
    """Read a run's progress. A repeated call reads only the reports that are new."""
    record = read_jobs(results)
    # Batch is asked first, so that a shard that is finished between the two requests does not look lost.
    states = read_job_states(services.batch, record.jobs) if record else None
    results.refresh()
    reports, run = results.reports.values(), results.run
    done = sum(report.images for report in reports)
    missing = _missing(results, done)
    finished = len(reports) == run.shards or (states is not None and states.live == 0)
    rate = _rate(results, record)
    failed = sum(report.failed for report in reports)
    return Status(
        run_uri=results.location.uri,
        images=done if run.images is None else run.images,
        embedded=sum(report.embedded for report in reports),
        skipped=sum(report.skipped for report in reports),
        failed=failed,
        missing=missing,
        tars=run.tars,
        shards=run.shards,
        shards_done=len(reports),
        jobs=states.counts if states else {},
        failures=_by_reason(results),
        job_failures=states.failures if states else {},
        images_per_second=rate,
        seconds_left=None if finished else _seconds_left(results, record, missing, rate),
        finished=finished,
        hints=tuple(_hints(results, states, retry=finished and (failed > 0 or missing != 0))),
    )


def _by_reason(results: RunResults) -> dict[str, int]:
    reasons = Counter(each.reason for failures in results.failures.values() for each in failures)
    return dict(reasons.most_common())


def _missing(results: RunResults, done: int) -> int | None:
    if results.run.images is None:
        return 0 if len(results.reports) == results.run.shards else None
    return max(0, results.run.images - done)


def _seconds_left(
    results: RunResults, record: JobsRecord | None, missing: int | None, rate: float | None
) -> float | None:
    if record is None or not rate:
        return None
    if missing is not None:
        return missing / rate if missing else None
    shards = len(results.reports)  # and the others have about as many bytes
    return (results.run.shards - shards) * _seconds(results, record) / shards


def _seconds(results: RunResults, record: JobsRecord) -> float:
    """The seconds from the submission to the latest report, at least one."""
    latest = max(report.written for report in results.reports.values())
    return max((latest - record.submitted).total_seconds(), 1.0)


def _rate(results: RunResults, record: JobsRecord | None) -> float | None:
    if record is None or not results.reports:
        return None
    done = sum(report.images for report in results.reports.values())
    return done / _seconds(results, record)


def _hints(results: RunResults, states: JobStates | None, *, retry: bool) -> list[str]:
    hints = []
    if states is None:
        hints.append(
            "jobs.json is missing: the jobs are being submitted, or the submission was interrupted. The same event "
            f"again, or `submitter submit … --run-id {results.run.run_id}`, submits the missing jobs"
        )
    elif states.counts.get("RUNNABLE") and not states.any_in("STARTING", "RUNNING"):
        said = f" Batch says: {'; '.join(states.reasons)}." if states.reasons else ""
        hints.append(
            f"{states.counts['RUNNABLE']:,} jobs wait in RUNNABLE.{said} An instance usually starts within "
            "minutes. If none does, check that the compute environment is enabled and VALID, that it has vCPUs left "
            "(also in the account's quota), that Spot capacity is available, and that the job requests a little "
            "less memory than the instance has, because ECS reserves some"
        )
    if states and states.counts.get(FORGOTTEN):
        hints.append(
            f"Batch no longer knows {states.counts[FORGOTTEN]:,} of the jobs; it forgets jobs about a week after "
            "they end"
        )
    if retry:
        hints.append(f"submitter retry {results.location.uri}")
    return hints
