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


def submitter(services: Services) -> JobSubmitter:
    return JobSubmitter(
        batch=services.batch,
        submitting=services.submitting,
        queue="queue",
        definition="embedder",
        sleep=lambda _: None,
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
    run = run_of(3)
    services = submitter_fake.connect(_losing(1, before=before))
    assert submitter(services).submit_missing(run, location(run)) == ["job-1"]
    assert len(submitter_fake.jobs) == 1


def test_it_gives_up_in_the_end(submitter_fake: FakeAws) -> None:
    run = run_of(3)
    services = submitter_fake.connect(_losing(100, before=True))
    with pytest.raises(ReadTimeoutError):
        submitter(services).submit_missing(run, location(run))


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
