"""The watchman: what it makes of Batch's queues and events, read off the lines it writes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.watcher import handler

NOW = 1_800_000_000.0


class Batch:
    """A queue's jobs by state, as ListJobs pages them."""

    def __init__(self, **jobs: list[dict[str, Any]]) -> None:
        self.jobs = jobs

    def get_paginator(self, name: str) -> Batch:
        assert name == "list_jobs"
        return self

    def paginate(self, **asked: str) -> list[dict[str, Any]]:
        assert asked["jobQueue"] == "queue"
        state = asked["jobStatus"]
        return [{"jobSummaryList": [{"status": state, **job}]} for job in self.jobs.get(state, [])]


def ago(seconds: float, **fields: Any) -> dict[str, Any]:
    return {"createdAt": (NOW - seconds) * 1000, **fields}


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
    ],
)
def test_waiting_counts_while_nobody_works(jobs: dict[str, list[dict[str, Any]]], seconds: float) -> None:
    assert handler.waiting_seconds(Batch(**jobs), "queue", NOW) == pytest.approx(seconds)


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
