from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from submitter.clients import Services
from submitter.jobs import JobSubmitter, jobs_of
from submitter.manifest import Run, RunLocation
from tests.submitter.fake_aws import Answer, FakeAws, xml_error
from tests.submitter.test_manifest import RUN


def run_of(shards: int, run_id: str = "r", **changes: object) -> Run:
    fields = {name: getattr(RUN, name) for name in RUN.__slots__}
    return Run(**{**fields, "shards": shards, "run_id": run_id, **changes})  # type: ignore[arg-type]


def submitter(services: Services, sleep: Callable[[float], None] = lambda _: None) -> JobSubmitter:
    return JobSubmitter(
        batch=services.batch,
        submitting=services.submitting,
        queue="queue",
        definition="embedder",
        sleep=sleep,
    )


def location(run: Run) -> RunLocation:
    return RunLocation(bucket=run.bucket, run_id=run.run_id)


@pytest.mark.parametrize(
    ("shards", "sizes"),
    [
        (1, [(0, None)]),
        (2, [(0, 2)]),
        (10_000, [(0, 10_000)]),
        (10_001, [(0, 10_000), (10_000, None)]),
        (25_000, [(0, 10_000), (10_000, 10_000), (20_000, 5_000)]),
    ],
)
def test_arrays_by_their_number_of_shards(
    submitter_fake: FakeAws, shards: int, sizes: list[tuple[int, int | None]]
) -> None:
    run = run_of(shards)
    ids = submitter(submitter_fake.connect()).submit_missing(run, location(run))
    assert ids == [f"job-{number}" for number in range(1, len(sizes) + 1)]
    made = []
    for job in submitter_fake.jobs:
        assert (job["jobQueue"], job["jobDefinition"]) == ("queue", "embedder")
        environment = {each["name"]: each["value"] for each in job["containerOverrides"]["environment"]}
        assert environment["EMBEDDER_SOURCE"] == "s3://pictures/manifests/r/"
        assert environment["EMBEDDER_STORE"] == "dynamodb://vectors"
        made.append((int(environment["EMBEDDER_SHARD_OFFSET"]), job.get("arrayProperties", {}).get("size")))
    assert made == sizes


def test_only_missing_jobs_are_submitted(submitter_fake: FakeAws) -> None:
    run, services = run_of(25_000), submitter_fake.connect()
    first = submitter(services).submit_missing(run, location(run))
    del submitter_fake.jobs[1:]
    assert submitter(services).submit_missing(run, location(run)) == first
    assert len(submitter_fake.jobs) == 3


def test_another_runs_jobs_are_not_taken_for_ours(submitter_fake: FakeAws) -> None:
    services = submitter_fake.connect()
    longer = run_of(1, run_id="r-0")
    submitter(services).submit_missing(longer, location(longer))
    run = run_of(1)
    assert submitter(services).submit_missing(run, location(run)) == ["job-2"]


def _losing(times: int, *, before: bool) -> Callable[[str, Callable[[], Answer]], Answer]:
    left = times

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        nonlocal left
        if operation != "SubmitJob" or not left:
            return serve()
        left -= 1
        if not before:
            serve()
        raise ReadTimeoutError(endpoint_url="batch")

    return intercept


@pytest.mark.parametrize("before", [True, False])
def test_an_answer_that_is_lost_makes_one_job(submitter_fake: FakeAws, before: bool) -> None:
    run, calls = run_of(3), list[str]()
    losing = _losing(1, before=before)

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        calls.append(operation)
        return losing(operation, serve)

    services = submitter_fake.connect(intercept)
    assert submitter(services).submit_missing(run, location(run)) == ["job-1"]
    assert len(submitter_fake.jobs) == 1
    # Looked for before it is submitted, and again before it is submitted once more.
    assert calls == ["ListJobs", "SubmitJob", "ListJobs", *(["SubmitJob"] if before else [])]


def busy(status: int, code: str) -> Answer:
    return Answer(b"{}", status, {"x-amzn-errortype": code})


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (None, ReadTimeoutError),
        (busy(429, "TooManyRequestsException"), ClientError),
        (busy(500, "ServerException"), ClientError),
    ],
)
def test_it_waits_longer_each_time_and_gives_up_in_the_end(
    submitter_fake: FakeAws, answer: Answer | None, error: type[Exception]
) -> None:
    calls, waits = list[str](), list[float]()

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        calls.append(operation)
        if operation != "SubmitJob":
            return serve()
        if answer is None:
            raise ReadTimeoutError(endpoint_url="batch")
        return Answer(answer.body, answer.status, answer.headers)

    run = run_of(3)
    with pytest.raises(error):
        submitter(submitter_fake.connect(intercept), waits.append).submit_missing(run, location(run))
    assert calls.count("SubmitJob") == 5, "and boto3 repeats none by itself"
    for wait, most in zip(waits, (1, 2, 4, 8), strict=True):
        assert most / 2 <= wait <= most
    assert len({wait / most for wait, most in zip(waits, (1, 2, 4, 8), strict=True)}) > 1, "not all at one moment"


def test_the_oldest_of_several_jobs_with_one_name_is_the_runs(submitter_fake: FakeAws) -> None:
    run, services = run_of(1), submitter_fake.connect()
    for _ in range(3):
        submitter(services)._submit_once(jobs_of(run)[0], run, location(run))
    assert submitter(services).submit_missing(run, location(run)) == ["job-1"]
    assert len(submitter_fake.jobs) == 3


def test_another_attempt_is_waited_for_but_not_for_ever(submitter_fake: FakeAws) -> None:
    run, services, waits = run_of(25_000), submitter_fake.connect(), list[float]()

    def other(seconds: float) -> None:
        """The other attempt submits a job in each second."""
        waits.append(seconds)
        job = jobs_of(run)[len(submitter_fake.jobs)]
        submitter(services)._submit_once(job, run, location(run))

    submitter(services, other).wait_for_another(run)
    assert (waits, len(submitter_fake.jobs)) == ([1.0] * 3, 3)
    submitter(services, waits.append).wait_for_another(run)
    assert len(waits) == 3, "all jobs are there"
    submitter_fake.jobs.pop()
    submitter(services, waits.append).wait_for_another(run)
    assert waits[3:] == [1.0] * 10


def test_a_refusal_is_not_repeated(submitter_fake: FakeAws) -> None:
    calls = []

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        calls.append(operation)
        return xml_error(403, "AccessDenied") if operation == "SubmitJob" else serve()

    run = run_of(3)
    with pytest.raises(ClientError):
        submitter(submitter_fake.connect(intercept)).submit_missing(run, location(run))
    assert calls.count("SubmitJob") == 1


def test_job_names_are_legal_and_short() -> None:
    from submitter.new_run import run_id_for

    (job,) = jobs_of(run_of(1, run_id=run_id_for("é/" * 300)))
    assert len(job.name) <= 128
    assert job.name.isascii()
    assert job.name.replace("-", "").replace("_", "").isalnum()
