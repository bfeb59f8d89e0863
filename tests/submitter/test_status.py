from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from scripts.simulation.workers import NOT_PULLED
from submitter.errors import UsageError
from submitter.handler import handler
from submitter.job_states import read_job_states
from submitter.manifest import RunLocation
from submitter.run_results import open_run
from submitter.status import Status, read_status
from submitter.watch import bar, duration, show, watch
from tests.submitter.cloud import Cloud
from tests.submitter.lambda_events import LambdaContext


@pytest.fixture
def run(submitter_cloud: Cloud) -> str:
    """A run of three shards: two of two images, one of one."""
    submitter_cloud.put(*(f"images/{number}.jpg" for number in range(5)))
    result = handler({"Paths": ["images"], "ShardSize": 2}, LambdaContext())
    assert isinstance(result["run_uri"], str)
    return result["run_uri"]


class FakeBatch:
    """Answers for a run's jobs whatever a test wants to see."""

    def __init__(self, *jobs: dict[str, Any], failed: list[dict[str, Any]] | None = None) -> None:
        self.jobs, self.failed, self.calls = list(jobs), failed or [], 0

    def describe_jobs(self, jobs: list[str]) -> dict[str, Any]:
        assert len(jobs) <= 100
        self.calls += 1
        return {"jobs": [job for job in self.jobs if job["jobId"] in jobs]}

    def list_jobs(self, **_: Any) -> dict[str, Any]:
        return {"jobSummaryList": self.failed}


class FakeServices:
    def __init__(self, batch: FakeBatch) -> None:
        self.batch = batch


def status_of(cloud: Cloud, run: str, batch: FakeBatch | None = None) -> Status:
    services: Any = FakeServices(batch) if batch else cloud.services
    return read_status(open_run(run, cloud.services), services)


def array(cloud: Cloud, run: str, **summary: int) -> dict[str, Any]:
    (job_id,) = json.loads(cloud.get(RunLocation.parse(run).jobs_key))["jobs"]
    return {"jobId": job_id, "status": "PENDING", "arrayProperties": {"size": 3, "statusSummary": summary}}


def test_a_run_that_has_just_begun(submitter_cloud: Cloud, run: str) -> None:
    batch = FakeBatch(array(submitter_cloud, run, RUNNING=2, RUNNABLE=1))
    status = status_of(submitter_cloud, run, batch)
    assert (status.images, status.missing, status.shards, status.shards_done) == (5, 5, 3, 0)
    assert (status.finished, status.exit_code, status.hints) == (False, 0, ())
    assert status.jobs == {"RUNNING": 2, "RUNNABLE": 1}
    assert status.images_per_second is None


def test_a_run_in_the_middle(submitter_cloud: Cloud, run: str) -> None:
    submitter_cloud.report(run, 1, embedded=1, skipped=0, failures=["images/2.jpg"])
    batch = FakeBatch(array(submitter_cloud, run, RUNNING=2, SUCCEEDED=1))
    status = status_of(submitter_cloud, run, batch)
    assert (status.embedded, status.skipped, status.failed, status.missing) == (1, 0, 1, 3)
    assert status.failures == {"decode: UnidentifiedImageError": 1}
    assert (status.finished, status.exit_code) == (False, 1)
    assert status.images_per_second
    assert status.seconds_left == pytest.approx(3 / status.images_per_second)


def test_a_run_that_is_done(submitter_cloud: Cloud, run: str) -> None:
    submitter_cloud.report(run, 0, embedded=2, skipped=0)
    submitter_cloud.report(run, 1, embedded=0, skipped=2)
    submitter_cloud.report(run, 2, embedded=1, skipped=0)
    status = status_of(submitter_cloud, run)
    assert (status.embedded, status.skipped, status.failed, status.missing) == (3, 2, 0, 0)
    assert (status.finished, status.exit_code, status.shards_done) == (True, 0, 3)
    assert status.jobs == {"SUCCEEDED": 3}
    assert status.seconds_left is None


def test_jobs_that_ended_without_a_report(submitter_cloud: Cloud, run: str) -> None:
    submitter_cloud.report(run, 0, embedded=2, skipped=0)
    failed = [{"jobId": "x:1", "statusReason": "Host EC2 terminated", "container": {"exitCode": 143}}] * 2
    batch = FakeBatch(array(submitter_cloud, run, SUCCEEDED=1, FAILED=2), failed=failed)
    status = status_of(submitter_cloud, run, batch)
    assert (status.missing, status.finished, status.exit_code) == (3, True, 1)
    assert status.job_failures == {"Host EC2 terminated (exit code 143)": 2}
    assert status.hints == (f"submitter retry {run}",)


def test_jobs_that_nobody_runs(submitter_cloud: Cloud, run: str) -> None:
    job = {**array(submitter_cloud, run, RUNNABLE=3), "statusReason": "MISCONFIGURATION:JOB_RESOURCE"}
    (hint,) = status_of(submitter_cloud, run, FakeBatch(job)).hints
    assert "3 jobs wait in RUNNABLE. Batch says: MISCONFIGURATION:JOB_RESOURCE" in hint
    assert "less memory than the instance has" in hint


def test_jobs_that_batch_forgot(submitter_cloud: Cloud, run: str) -> None:
    status = status_of(submitter_cloud, run, FakeBatch())
    assert status.jobs == {"UNKNOWN": 1}
    assert (status.finished, status.exit_code) == (True, 1)
    assert any("no longer knows" in hint for hint in status.hints)


def test_jobs_that_were_never_submitted(submitter_cloud: Cloud, run: str) -> None:
    location = RunLocation.parse(run)
    submitter_cloud.services.s3.delete_object(Bucket=location.bucket, Key=location.jobs_key)
    status = status_of(submitter_cloud, run)
    assert (status.jobs, status.finished) == ({}, False)
    assert "jobs.json is missing" in status.hints[0]


def test_reports_are_read_once(submitter_cloud: Cloud, run: str) -> None:
    reads: list[str] = []
    submitter_cloud.report(run, 0, embedded=2, skipped=0)
    results = open_run(run, submitter_cloud.services)
    events = submitter_cloud.services.s3.meta.events
    count: Callable[..., None] = lambda params, **_: reads.append(params["url_path"])  # noqa: E731
    events.register("before-call.s3.GetObject", count)
    read_status(results, submitter_cloud.services)
    submitter_cloud.report(run, 1, embedded=2, skipped=0)
    status = read_status(results, submitter_cloud.services)
    events.unregister("before-call.s3.GetObject", count)
    assert status.shards_done == 2
    assert sum("reports" in url for url in reads) == 2


@pytest.mark.parametrize(
    ("key", "body", "complaint"),
    [
        ("run.json", b"{}", "schema None"),
        ("reports/00000.json", b"{}", "the report .*00000.json cannot be read"),
        ("reports/00000.json", b"", "the report .*00000.json cannot be read"),
    ],
)
def test_books_that_cannot_be_read(submitter_cloud: Cloud, run: str, key: str, body: bytes, complaint: str) -> None:
    submitter_cloud.put(RunLocation.parse(run).root + key, body=body)
    with pytest.raises(UsageError, match=complaint):
        status_of(submitter_cloud, run)


def test_failures_that_cannot_be_read(submitter_cloud: Cloud, run: str) -> None:
    submitter_cloud.report(run, 0, embedded=1, skipped=0, failures=["images/0.jpg"])
    submitter_cloud.put(RunLocation.parse(run).failures_key(0), body=b'{"image_id": "x"}')
    with pytest.raises(UsageError, match=r"the failures in .* cannot be read"):
        status_of(submitter_cloud, run)


def test_what_else_lies_in_a_run_is_ignored(submitter_cloud: Cloud, run: str) -> None:
    location = RunLocation.parse(run)
    submitter_cloud.put(location.reports_prefix + "notes.txt", location.report_key(99))
    assert status_of(submitter_cloud, run).shards_done == 0


def test_many_jobs_in_few_requests() -> None:
    batch = FakeBatch(*({"jobId": str(number), "status": "RUNNING"} for number in range(150)))
    states = read_job_states(batch, [str(number) for number in range(160)])  # type: ignore[arg-type]
    assert states.counts == {"RUNNING": 150, "UNKNOWN": 10}
    assert (states.live, batch.calls) == (150, 2)


def test_an_array_before_it_is_unfolded() -> None:
    batch = FakeBatch({"jobId": "a", "status": "SUBMITTED", "arrayProperties": {"size": 70}})
    assert read_job_states(batch, ["a"]).counts == {"SUBMITTED": 70}  # type: ignore[arg-type]


def test_a_plain_job_that_failed() -> None:
    job = {"jobId": "a", "status": "FAILED", "statusReason": "Task failed", "container": {"exitCode": 1}}
    assert read_job_states(FakeBatch(job), ["a"]).failures == {"Task failed (exit code 1)": 1}  # type: ignore[arg-type]


def test_a_job_whose_image_cannot_be_pulled_says_so() -> None:
    """As the simulated Batch lets it end: scripts/simulation/batch.py."""
    container = {"reason": NOT_PULLED.reason}
    job = {"jobId": "a", "status": "FAILED", "statusReason": NOT_PULLED.status_reason, "container": container}
    found = read_job_states(FakeBatch(job), ["a"])  # type: ignore[arg-type]
    assert found.failures == {"Task failed to start (CannotPullContainerError)": 1}
    job["container"] = {"exitCode": 137, "reason": "OutOfMemoryError: Container killed due to memory usage"}
    killed = read_job_states(FakeBatch(job), ["a"]).failures  # type: ignore[arg-type]
    assert killed == {"Task failed to start (exit code 137, OutOfMemoryError)": 1}


GOING = Status(
    run_uri="s3://b/manifests/r/",
    images=1000,
    embedded=450,
    skipped=0,
    failed=50,
    missing=500,
    tars=None,
    shards=2,
    shards_done=1,
    jobs={"RUNNING": 1},
    failures={},
    job_failures={},
    images_per_second=10.0,
    seconds_left=50.0,
    finished=False,
    hints=(),
)
FINISHED = replace(GOING, finished=True, missing=0, embedded=950, jobs={}, seconds_left=None)
BAR = "[###############...............]  50% 500 of 1,000 images, 50 failed, 10/s, 50 s left, 1 RUNNING"


def test_looking_until_it_is_finished() -> None:
    outage = ReadTimeoutError(endpoint_url="x")
    steps: Iterator[Status | Exception] = iter([GOING, outage, outage, FINISHED])

    def look() -> Status:
        step = next(steps)
        if isinstance(step, Exception):
            raise step
        return step

    waits: list[float] = []
    assert list(watch(look, 10, sleep=waits.append)) == [GOING, FINISHED]
    assert [round(wait / 10) for wait in waits] == [1, 2, 4], "an outage is given more and more time"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal_and_lines_elsewhere() -> None:
    terminal, file = Terminal(), io.StringIO()
    for status in (GOING, FINISHED):
        show(status, terminal)
        show(status, file)
    done = bar(FINISHED)
    assert file.getvalue() == f"{BAR}\n{done}\n"
    assert terminal.getvalue() == f"\r\x1b[K{BAR}\r\x1b[K{done}\n"


@pytest.mark.parametrize(
    ("seconds", "text"), [(3.2, "3 s"), (59.6, "1 min 00 s"), (61, "1 min 01 s"), (3661, "1 h 01 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
