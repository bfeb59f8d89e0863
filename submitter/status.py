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
    """A run at one moment. `images` is the sum of the next four fields."""

    run_uri: str
    images: int
    embedded: int
    skipped: int
    """Images whose vector the table already held."""
    failed: int
    missing: int
    """Images of shards that no worker has finished."""
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
        return int(self.failed > 0 or (self.finished and self.missing > 0))


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
    missing = max(0, run.images - done)
    finished = len(reports) == run.shards or (states is not None and states.live == 0)
    rate = _rate(results, record)
    failed = sum(report.failed for report in reports)
    return Status(
        run_uri=results.location.uri,
        images=run.images,
        embedded=sum(report.embedded for report in reports),
        skipped=sum(report.skipped for report in reports),
        failed=failed,
        missing=missing,
        shards=run.shards,
        shards_done=len(reports),
        jobs=states.counts if states else {},
        failures=_by_reason(results),
        job_failures=states.failures if states else {},
        images_per_second=rate,
        seconds_left=missing / rate if rate and missing and not finished else None,
        finished=finished,
        hints=tuple(_hints(results, states, retry=finished and failed + missing > 0)),
    )


def _by_reason(results: RunResults) -> dict[str, int]:
    reasons = Counter(each.reason for failures in results.failures.values() for each in failures)
    return dict(reasons.most_common())


def _rate(results: RunResults, record: JobsRecord | None) -> float | None:
    if record is None or not results.reports:
        return None
    latest = max(report.written for report in results.reports.values())
    seconds = (latest - record.submitted).total_seconds()
    done = sum(report.images for report in results.reports.values())
    return done / max(seconds, 1.0)


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
