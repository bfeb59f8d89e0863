"""The states of a run's jobs, as Batch reports them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_batch.type_defs import JobDetailTypeDef

_DESCRIBE_AT_ONCE = 100
_LIVE = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING")
FORGOTTEN = "UNKNOWN"
"""Our name for the state of a job that Batch no longer lists: it keeps finished jobs for about a week."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStates:
    """The jobs of a run. The children of arrays are counted one by one."""

    counts: dict[str, int]
    reasons: tuple[str, ...]
    """Why jobs are in their states, in Batch's words."""
    failures: dict[str, int]
    """Failed jobs by reason; of an array, the first page of its failed children."""

    @property
    def live(self) -> int:
        """The number of jobs that may still write results."""
        return sum(self.counts.get(state, 0) for state in _LIVE)

    def any_in(self, *states: str) -> bool:
        return any(self.counts.get(state) for state in states)


def read_job_states(batch: BatchClient, job_ids: Sequence[str]) -> JobStates:
    """Ask Batch for the states of jobs, in as few requests as possible."""
    counts: Counter[str] = Counter()
    failures: Counter[str] = Counter()
    reasons: list[str] = []
    for start in range(0, len(job_ids), _DESCRIBE_AT_ONCE):
        some = job_ids[start : start + _DESCRIBE_AT_ONCE]
        jobs = batch.describe_jobs(jobs=some)["jobs"]
        counts[FORGOTTEN] += len(some) - len(jobs)
        for job in jobs:
            states = _states(job)
            counts.update(states)
            reasons.append(job.get("statusReason", ""))
            if states.get("FAILED"):
                failures.update(_failures(batch, job))
    return JobStates(
        counts={state: count for state, count in counts.items() if count},
        reasons=tuple(dict.fromkeys(filter(None, reasons))),
        failures=dict(failures.most_common()),
    )


def _states(job: JobDetailTypeDef) -> dict[str, int]:
    array = job.get("arrayProperties", {})
    children = {state: count for state, count in array.get("statusSummary", {}).items() if count}
    # An array that Batch has not expanded yet has no children to count.
    return children or {job["status"]: array.get("size") or 1}


def _failures(batch: BatchClient, job: JobDetailTypeDef) -> list[str]:
    if not job.get("arrayProperties", {}).get("size"):
        return [_reason(job.get("statusReason"), job.get("container", {}))]
    children = batch.list_jobs(arrayJobId=job["jobId"], jobStatus="FAILED")["jobSummaryList"]
    return [_reason(each.get("statusReason"), each.get("container", {})) for each in children]


def _reason(status: str | None, container: Mapping[str, Any]) -> str:
    """Say why a job failed, in words that many jobs share, because they are counted.

    Only the container's own reason says that its image could not be pulled, or that memory ran out. What follows its
    colon differs from job to job.
    """
    code = container.get("exitCode")
    details = ["" if code is None else f"exit code {code}", (container.get("reason") or "").partition(":")[0]]
    detail = ", ".join(filter(None, details))
    return (status or "no reason given") + (f" ({detail})" if detail else "")
