"""One set of jobs with whole manifests, whatever dies when, and whoever else is at it."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from submitter.clients import Services
from submitter.config import Targets
from submitter.deadline import Deadline
from submitter.errors import OutOfTimeError, SetupError, UsageError
from submitter.manifest import Entry, Run, RunLocation, parse_entries
from submitter.new_run import NewRun, new_run_for
from submitter.request import Request
from submitter.shards import cut
from submitter.submit import submit
from tests.submitter.cloud import Cloud
from tests.submitter.fake_aws import BUCKET, Answer, Crash, FakeAws

RUN_ID = "request-1"
LOCATION = RunLocation(bucket=BUCKET, run_id=RUN_ID)
SHARD_SIZE = 3
BEFORE = ("HeadBucket", "DescribeTable")
"""Calls that look before anything is written."""
WRITES = ("PutObject", "CopyObject", "SubmitJob")
EVERY_CALL = ("GetObject", "ListObjectsV2", "ListJobs", *WRITES)


def attempt(fake: FakeAws, targets: Targets, services: Services, deadline: Deadline | None = None) -> Any:
    """One delivery of the same request."""
    request = Request(folders=("images/",), shard_size=SHARD_SIZE)
    new_run = new_run_for(request, RUN_ID, bucket=targets.bucket, services=services, deadline=deadline or Deadline())
    del fake
    return submit(new_run, targets, services, sleep=lambda _: None).as_json()


def fill(fake: FakeAws) -> set[str]:
    keys = {f"images/{number:03d}.jpg" for number in range(10)}
    fake.put(*keys)
    return keys


def check_whole(fake: FakeAws, always: set[str], result: dict[str, Any]) -> None:
    """The shards are those of run.json: in order, without a gap or a repetition."""
    run = Run.from_json(fake.objects[LOCATION.run_key])
    shards = [list(parse_entries(fake.objects[LOCATION.shard_key(n)])) for n in range(run.shards)]
    keys = [entry.key for shard in shards for entry in shard]
    assert keys == sorted(set(keys))
    assert always <= set(keys)
    assert len(keys) == run.images == result["images"]
    assert [len(shard) for shard in shards[:-1]] == [SHARD_SIZE] * (run.shards - 1)
    assert json.loads(fake.objects[LOCATION.jobs_key])["jobs"] == result["jobs"]


class Dying:
    """Dies at the nth call, before or after the service has served it; then every call dies."""

    def __init__(self, nth: int, *, after: bool) -> None:
        self.left, self.after, self.lock = nth, after, threading.Lock()
        self.dead_of: str | None = None

    def __call__(self, operation: str, serve: Callable[[], Answer]) -> Answer:
        with self.lock:
            if self.dead_of is not None:
                raise Crash
            self.left -= 1
            if self.left >= 0:
                return serve()
            if self.after:
                serve()
            self.dead_of = operation
            raise Crash


def change(fake: FakeAws) -> None:
    """What users do between two deliveries: every shard would be cut elsewhere."""
    fake.put("images/000a.jpg", "images/new.jpg")
    fake.objects.pop("images/001.jpg", None)


@pytest.mark.usefixtures("submitter_environment")
@pytest.mark.parametrize("after", [False, True])
def test_a_death_at_any_call_and_another_delivery(submitter_targets: Targets, after: bool) -> None:
    died_of = set()
    for nth in range(100):
        fake = FakeAws()
        always = fill(fake) - {"images/001.jpg"}
        dying = Dying(nth, after=after)
        try:
            attempt(fake, submitter_targets, fake.connect(dying))
        except Crash:
            died_of.add(dying.dead_of)
        else:
            assert nth > 10
            break
        change(fake)
        result = attempt(fake, submitter_targets, fake.connect())
        check_whole(fake, always, result)
        assert [job["jobName"] for job in fake.jobs] == [f"embedder-{RUN_ID}-0"]
        assert attempt(fake, submitter_targets, fake.connect()) == result
        assert len(fake.jobs) == 1
    assert died_of == {*BEFORE, "GetObject", "PutObject", "ListObjectsV2", "ListJobs", "SubmitJob"}


@pytest.mark.usefixtures("submitter_environment")
def test_a_second_death_while_the_first_is_mended(submitter_targets: Targets) -> None:
    died_of = set()
    for nth in range(100):
        fake = FakeAws()
        always = fill(fake) - {"images/001.jpg"}
        with pytest.raises(Crash):
            attempt(fake, submitter_targets, fake.connect(Dying(5, after=True)))
        change(fake)
        dying = Dying(nth, after=True)
        try:
            attempt(fake, submitter_targets, fake.connect(dying))
        except Crash:
            died_of.add(dying.dead_of)
        else:
            break
        fake.put("images/0000.jpg")
        result = attempt(fake, submitter_targets, fake.connect())
        check_whole(fake, always, result)
        assert len(fake.jobs) == 1
    assert "CopyObject" in died_of


class Pausing:
    """Stops before its nth call until it is told to go on."""

    def __init__(self, nth: int) -> None:
        self.left, self.lock = nth, threading.Lock()
        self.paused, self.go_on = threading.Event(), threading.Event()
        self.paused_at: str | None = None

    def __call__(self, operation: str, serve: Callable[[], Answer]) -> Answer:
        with self.lock:
            self.left -= 1
            if self.left == -1:
                self.paused_at = operation
                self.paused.set()
                self.go_on.wait(30)
        return serve()


@pytest.mark.usefixtures("submitter_environment")
def test_two_deliveries_at_once(submitter_targets: Targets) -> None:
    """One stands still at any of its calls while the other goes from start to end."""
    paused_at = set()
    for nth in range(100):
        fake = FakeAws()
        always = fill(fake) - {"images/001.jpg"}
        pausing, results = Pausing(nth), list[Any]()
        services = fake.connect(pausing)

        def slow(fake: FakeAws = fake, services: Services = services, results: list[Any] = results) -> None:
            results.append(attempt(fake, submitter_targets, services))
            pausing.paused.set()  # noqa: B023

        thread = threading.Thread(target=slow)
        thread.start()
        assert pausing.paused.wait(30)
        if results:
            thread.join()
            break
        change(fake)
        fast = attempt(fake, submitter_targets, fake.connect())
        before = {key: body for key, body in fake.objects.items() if "/attempts/" not in key}
        pausing.go_on.set()
        thread.join(30)
        paused_at.add(pausing.paused_at)
        assert results == [fast], pausing.paused_at
        check_whole(fake, always, fast)
        shards = {f"manifests/{RUN_ID}/{name}" for name in ("run.json", "jobs.json")}
        shards |= {LOCATION.shard_key(number) for number in range(fast["shards"])}
        assert all(fake.objects[key] == before[key] for key in shards), "a run does not change"
        # Between looking for a job and submitting it nothing can be held against another attempt.
        assert len(fake.jobs) == (2 if pausing.paused_at == "SubmitJob" else 1), pausing.paused_at
    assert paused_at == {*BEFORE, "GetObject", "PutObject", "ListObjectsV2", "ListJobs", "SubmitJob"}


def test_many_deliveries_at_once_by_a_real_server(submitter_cloud: Cloud) -> None:
    submitter_cloud.put(*(f"images/{number}.jpg" for number in range(7)))
    results: list[Any] = []

    def deliver() -> None:
        services = Services()
        request = Request(folders=("images/",), shard_size=SHARD_SIZE)
        targets = submitter_cloud.targets
        new_run = new_run_for(request, RUN_ID, bucket=targets.bucket, services=services, deadline=Deadline())
        results.append(submit(new_run, targets, services).as_json())

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert all(result == results[0] for result in results)
    assert [job["jobId"] for job in submitter_cloud.jobs()] == results[0]["jobs"]
    assert sum(len(shard) for shard in submitter_cloud.entries(results[0]["run_uri"])) == 7


def test_run_json_comes_after_every_shard_and_before_any_job(
    submitter_fake: FakeAws, submitter_targets: Targets
) -> None:
    new_run: list[str] = []
    fill(submitter_fake)

    def watch(operation: str, serve: Callable[[], Answer]) -> Answer:
        run_there = LOCATION.run_key in submitter_fake.objects
        answer = serve()
        if operation in WRITES:
            appeared = LOCATION.run_key in submitter_fake.objects and not run_there
            new_run.append("run.json" if appeared else operation)
        return answer

    attempt(submitter_fake, submitter_targets, submitter_fake.connect(watch))
    # claim, four shards, commit, then the run; the note that jobs are coming, the job, jobs.json
    assert new_run == ["PutObject"] * 6 + ["run.json", "PutObject", "SubmitJob", "PutObject"]


def test_shards_are_those_of_a_plain_listing(submitter_fake: FakeAws, submitter_targets: Targets) -> None:
    """Byte for byte, although parallel requests list the folder."""
    keys = {f"images/{number // 700:03d}/{number * 37 % 100_000:05d}.jpg" for number in range(9_000)}
    submitter_fake.put(*keys, "images/ünï/1.jpg", "images/notes.txt")
    request, services = Request(folders=("images/",), shard_size=1000), submitter_fake.connect()
    new_run = new_run_for(request, RUN_ID, bucket=BUCKET, services=services, deadline=Deadline())
    submit(new_run, submitter_targets, services)
    ordered = sorted([*keys, "images/ünï/1.jpg"], key=lambda key: key.encode())
    etag = hashlib.md5(b"picture").hexdigest()
    wanted = list(cut((Entry(key=key, etag=etag, size=7) for key in ordered), 1000))
    assert len(wanted) == 10
    for shard in wanted:
        assert submitter_fake.objects[LOCATION.shard_key(shard.number)] == shard.body


def test_nothing_is_put_over_anything(submitter_fake: FakeAws, submitter_targets: Targets) -> None:
    fill(submitter_fake)
    attempt(submitter_fake, submitter_targets, submitter_fake.connect())
    assert submitter_fake.unconditional == []


def test_nothing_is_written_for_nothing(submitter_fake: FakeAws, submitter_targets: Targets) -> None:
    submitter_fake.put("images/readme.txt", "images/other.pdf")
    before = dict(submitter_fake.objects)
    with pytest.raises(UsageError, match="no image was found in 'images/': objects left out: 2 by suffix"):
        attempt(submitter_fake, submitter_targets, submitter_fake.connect())
    assert submitter_fake.objects == before
    assert not submitter_fake.jobs


def test_nothing_is_submitted_half_listed(submitter_fake: FakeAws, submitter_targets: Targets) -> None:
    submitter_fake.put(*(f"images/{number:05d}.jpg" for number in range(2500)))
    left = iter([60_000, 5_000])
    with pytest.raises(OutOfTimeError):
        attempt(
            submitter_fake,
            submitter_targets,
            submitter_fake.connect(),
            Deadline(remaining_ms=lambda: next(left)),
        )
    assert LOCATION.run_key not in submitter_fake.objects
    assert not submitter_fake.jobs
    result = attempt(submitter_fake, submitter_targets, submitter_fake.connect())
    check_whole(submitter_fake, set(), result)
    assert result["images"] == 2500


def test_a_bucket_of_another_region(submitter_fake: FakeAws, submitter_targets: Targets) -> None:
    fill(submitter_fake)

    def elsewhere(operation: str, serve: Callable[[], Answer]) -> Answer:
        return Answer(headers={"x-amz-bucket-region": "eu-central-1"}) if operation == "HeadBucket" else serve()

    before = dict(submitter_fake.objects)
    with pytest.raises(UsageError, match=r"bucket pictures is in eu-central-1 and the jobs run in us-east-1"):
        attempt(submitter_fake, submitter_targets, submitter_fake.connect(elsewhere))
    assert submitter_fake.objects == before
    assert not submitter_fake.jobs


def test_a_table_that_is_not_there_by_a_real_server(submitter_cloud: Cloud) -> None:
    submitter_cloud.put("a/1.jpg")
    services, targets = submitter_cloud.services, replace(submitter_cloud.targets, table="elsewhere")
    request = Request(folders=("a/",))
    new_run = new_run_for(request, "r", bucket=targets.bucket, services=services, deadline=Deadline())
    with pytest.raises(UsageError, match="no table elsewhere in us-east-1"):
        submit(new_run, targets, services)
    assert submitter_cloud.keys("manifests/") == []


def test_missing_settings_are_all_named() -> None:
    new_run = NewRun(run_id="r", source="paths", entries=iter([Entry(key="a", etag=None, size=None)]))
    with pytest.raises(SetupError, match=r"DYNAMODB_TABLE_NAME \(--table\), BATCH_JOB_QUEUE"):
        submit(new_run, Targets(bucket="b", definition="d"), Services())


def test_shards_fill_across_paths_by_a_real_server(submitter_cloud: Cloud) -> None:
    submitter_cloud.put("b/1.jpg", "b/2.png", "a/1.jpg", "a/1.txt", "a/x.jpg")
    submitter_cloud.put("c/", body=b"")
    request = Request(folders=("b/", "a/", "c/", "typo/"), shard_size=3, recompute=True)
    services, targets = submitter_cloud.services, submitter_cloud.targets
    new_run = new_run_for(request, "r", bucket=targets.bucket, services=services, deadline=Deadline())
    submission = submit(new_run, targets, services)
    run = submitter_cloud.run(submission.location.uri)
    keys = [[entry.key for entry in shard] for shard in submitter_cloud.entries(submission.location.uri)]
    assert keys == [["b/1.jpg", "b/2.png", "a/1.jpg"], ["a/x.jpg"]]
    assert run.skipped == {"suffix": 1, "folder": 1}
    assert (run.paths, run.empty_paths) == (("b/", "a/", "c/", "typo/"), ("typo/",))
    assert (run.images, run.bytes, run.shards, run.shard_size) == (4, 28, 2, 3)
    assert run.options == {"recompute": True}
    (job,) = submitter_cloud.jobs()
    assert job["arrayProperties"]["size"] == 2
    assert [job["jobId"]] == list(submission.jobs)
