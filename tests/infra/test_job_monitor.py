"""What the job monitor makes of Batch's queues and events, by the lines that it writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.job_monitor import handler

NOW = 1_800_000_000.0


class Batch:
    """A queue's jobs by state and the children of its arrays, as ListJobs pages them."""

    def __init__(self, *, counts: bool = True, **jobs: list[dict[str, Any]]) -> None:
        """
        Args:
            counts: whether arrays come with the counts of their children; an older boto3 leaves them away.
        """
        self.jobs = jobs
        self.counts = counts
        self.children_asked_for = 0

    def get_paginator(self, name: str) -> Batch:
        assert name == "list_jobs"
        return self

    def paginate(self, **asked: str) -> Iterator[dict[str, Any]]:
        state = asked.pop("jobStatus")
        if asked == {"jobQueue": "queue"}:
            found = [self._summary(job, state) for job in self.jobs.get(state, [])]
        else:
            self.children_asked_for += 1
            (parent,) = [job for job in self.jobs["PENDING"] if asked == {"arrayJobId": job["jobId"]}]
            found = [{"status": state}] * parent["arrayProperties"]["statusSummary"].get(state, 0)
        yield {"jobSummaryList": []}  # a page may be empty before the last one
        yield {"jobSummaryList": found}

    def _summary(self, job: dict[str, Any], state: str) -> dict[str, Any]:
        summary = {"status": state, **job}
        if "arrayProperties" in job and not self.counts:
            summary["arrayProperties"] = {"size": job["arrayProperties"]["size"]}
        return summary


def ago(seconds: float, **fields: Any) -> dict[str, Any]:
    return {"createdAt": (NOW - seconds) * 1000, "jobId": f"job-{seconds}", **fields}


def array(seconds: float, **children: int) -> dict[str, Any]:
    return ago(seconds, arrayProperties={"size": sum(children.values()), "statusSummary": children})


@pytest.mark.parametrize(
    ("jobs", "seconds"),
    [
        ({}, 0),
        ({"RUNNABLE": [ago(60), ago(600)]}, 600),
        ({"RUNNABLE": [ago(600)], "RUNNING": [ago(700)]}, 0),
        ({"RUNNABLE": [ago(600)], "STARTING": [ago(700)]}, 0),
        ({"PENDING": [array(3600, RUNNABLE=90, SUCCEEDED=10)]}, 3600),
        ({"PENDING": [array(3600, RUNNABLE=90, RUNNING=10)]}, 0),
        ({"PENDING": [array(3600, RUNNABLE=90), array(10, STARTING=1)]}, 0),
        ({"PENDING": [array(3600, RUNNABLE=90)], "RUNNING": [ago(10)]}, 0),
    ],
)
@pytest.mark.parametrize("counts", [True, False])
def test_waiting_counts_while_nobody_works(jobs: dict[str, list[Any]], seconds: float, counts: bool) -> None:
    """The same with a boto3 that leaves away how many children of an array are at work."""
    batch = Batch(counts=counts, **jobs)
    assert handler.waiting_seconds(batch, "queue", NOW) == pytest.approx(seconds)
    assert batch.children_asked_for == 0 or not counts


def test_children_are_asked_for_until_one_is_at_work() -> None:
    """An array may have ten thousand."""
    batch = Batch(counts=False, PENDING=[array(60, STARTING=1, RUNNING=9), array(50, RUNNABLE=9)])
    assert handler.waiting_seconds(batch, "queue", NOW) == 0
    assert batch.children_asked_for == 1


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setenv("DEPLOYMENT", "prod")
    monkeypatch.setenv("QUEUES", "queue")

    def told(**detail: Any) -> list[dict[str, Any]]:
        handler.handler({"detail-type": "Batch Job State Change", "detail": detail}, None)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return told


def metrics(line: dict[str, Any]) -> dict[str, float]:
    """What CloudWatch makes of a line."""
    found: dict[str, float] = {}
    for directive in line["_aws"]["CloudWatchMetrics"]:
        assert (directive["Namespace"], directive["Dimensions"]) == ("embedder", [["Deployment"]])
        assert line["Deployment"] == "prod"
        found |= {each["Name"]: line[each["Name"]] for each in directive["Metrics"]}
    return found


def test_a_job_that_failed_is_counted_with_its_reason(lines: Any) -> None:
    container = {"exitCode": 2}
    (line,) = lines(
        jobId="a:3", status="FAILED", statusReason="Essential container in task exited", startedAt=1000,
        stoppedAt=63500, arrayProperties={"index": 3}, container=container,
    )  # fmt: skip
    assert metrics(line) == {"FailedJobs": 1, "JobSeconds": 62.5}
    assert (line["jobId"], line["statusReason"], line["exitCode"]) == ("a:3", "Essential container in task exited", 2)


def test_a_job_that_never_started_has_no_duration(lines: Any) -> None:
    assert metrics(lines(jobId="a", status="FAILED")[0]) == {"FailedJobs": 1}


def test_a_job_that_succeeded_has_a_duration(lines: Any) -> None:
    assert metrics(lines(jobId="a", status="SUCCEEDED", startedAt=0 + 1, stoppedAt=5001)[0]) == {"JobSeconds": 5}


def test_an_arrays_own_end_counts_nothing(lines: Any) -> None:
    assert lines(jobId="a", status="FAILED", arrayProperties={"size": 3, "statusSummary": {"FAILED": 3}}) == []
