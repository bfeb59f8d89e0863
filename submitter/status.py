"""How far a run is: the workers' reports beside what Batch says of their jobs."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from submitter.clients import Services
from submitter.ledger import Ledger
from submitter.states import FORGOTTEN, JobStates, describe


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A run at one moment. `images` is the sum of the next four."""

    run_uri: str
    images: int
    embedded: int
    skipped: int
    """Were in the table already."""
    failed: int
    missing: int
    """Images of shards that no worker has finished."""
    shards: int
    shards_done: int
    jobs: dict[str, int]
    """Counts by Batch's state; children of arrays count, not the arrays."""
    failures: dict[str, int]
    """Failed images by stage and error."""
    job_failures: dict[str, int]
    """Failed jobs by Batch's reason."""
    images_per_second: float | None
    """Since the submission; instances that had to start first count."""
    seconds_left: float | None
    finished: bool
    """No worker will change the above any more."""
    hints: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "hints": list(self.hints), "exit_code": self.exit_code}

    @property
    def exit_code(self) -> int:
        """1 once there is something to retry."""
        return int(self.failed > 0 or (self.finished and self.missing > 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsRecord:
    """What `jobs.json` holds."""

    jobs: tuple[str, ...]
    queue: str
    definition: str
    submitted: datetime


def read_jobs(ledger: Ledger) -> JobsRecord | None:
    """The run's jobs, or None if they have not all been submitted."""
    body = ledger.objects.get(ledger.location.jobs_key)
    if body is None:
        return None
    found = json.loads(body)
    return JobsRecord(
        jobs=tuple(found["jobs"]),
        queue=found["queue"],
        definition=found["definition"],
        submitted=datetime.fromisoformat(found["submitted"]),
    )


def read_status(ledger: Ledger, services: Services) -> Status:
    """Look at a run, again if need be: what the ledger has read it does not read again."""
    record = read_jobs(ledger)
    # Batch first: a shard that is finished between the two questions must not look lost.
    states = describe(services.batch, record.jobs) if record else None
    ledger.refresh()
    reports, run = ledger.reports.values(), ledger.run
    done = sum(report.images for report in reports)
    missing = max(0, run.images - done)
    finished = len(reports) == run.shards or (states is not None and states.live == 0)
    rate = _rate(ledger, record)
    failed = sum(report.failed for report in reports)
    return Status(
        run_uri=ledger.location.uri,
        images=run.images,
        embedded=sum(report.embedded for report in reports),
        skipped=sum(report.skipped for report in reports),
        failed=failed,
        missing=missing,
        shards=run.shards,
        shards_done=len(reports),
        jobs=states.counts if states else {},
        failures=_by_reason(ledger),
        job_failures=states.failures if states else {},
        images_per_second=rate,
        seconds_left=missing / rate if rate and missing and not finished else None,
        finished=finished,
        hints=tuple(_hints(ledger, states, retry=finished and failed + missing > 0)),
    )


def _by_reason(ledger: Ledger) -> dict[str, int]:
    reasons = Counter(each.reason for failures in ledger.failures.values() for each in failures)
    return dict(reasons.most_common())


def _rate(ledger: Ledger, record: JobsRecord | None) -> float | None:
    if record is None or not ledger.reports:
        return None
    latest = max(report.written for report in ledger.reports.values())
    seconds = (latest - record.submitted).total_seconds()
    done = sum(report.images for report in ledger.reports.values())
    return done / max(seconds, 1.0)


def _hints(ledger: Ledger, states: JobStates | None, *, retry: bool) -> list[str]:
    hints = []
    if states is None:
        hints.append(
            "jobs.json is missing: the jobs are being submitted right now, or that was cut short. The same "
            f"event again, or `submitter submit … --run-id {ledger.run.run_id}`, submits what is missing"
        )
    elif states.counts.get("RUNNABLE") and not states.any_in("STARTING", "RUNNING"):
        said = f" Batch says: {'; '.join(states.reasons)}." if states.reasons else ""
        hints.append(
            f"{states.counts['RUNNABLE']:,} jobs wait in RUNNABLE.{said} An instance usually starts within "
            "minutes. If none does: is the compute environment enabled and VALID, does it have vCPUs left "
            "(also in the account's quota), is there Spot capacity, and does the job ask for a little less "
            "memory than the instance has, of which the system takes some?"
        )
    if states and states.counts.get(FORGOTTEN):
        hints.append(
            f"Batch no longer knows {states.counts[FORGOTTEN]:,} of the jobs; it forgets them about a week "
            "after they end"
        )
    if retry:
        hints.append(f"submitter retry {ledger.location.uri}")
    return hints
