from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from submitter.errors import UsageError
from submitter.handler import handler
from submitter.manifest import Entry, RunLocation
from submitter.retry import MOST_IDS, retry_of
from submitter.run_results import RunResults, open_run
from submitter.verify import Verdict, Verification, image_id_of
from tests.submitter.cloud import Cloud
from tests.submitter.lambda_events import LambdaContext


@pytest.fixture
def run(submitter_cloud: Cloud) -> str:
    """A run of three shards: two of two images, one of one."""
    submitter_cloud.put(*(f"images/{number}.jpg" for number in range(5)))
    result = handler({"Paths": ["images"], "ShardSize": 2, "Recompute": True}, LambdaContext())
    assert isinstance(result["run_uri"], str)
    return result["run_uri"]


def fresh(cloud: Cloud, run: str) -> RunResults:
    results = open_run(run, cloud.services)
    results.refresh()
    return results


def left_over(cloud: Cloud, run: str) -> list[Entry]:
    return list(retry_of(fresh(cloud, run), "again").entries)


def etag(cloud: Cloud, run: str) -> str:
    found = cloud.entries(run)[0][0].etag
    assert found
    return found


def test_failed_and_missing_images_are_retried(submitter_cloud: Cloud, run: str) -> None:
    submitter_cloud.report(run, 0, embedded=1, skipped=0, failures=["images/1.jpg"])
    submitter_cloud.report(run, 2, embedded=1, skipped=0)
    same = etag(submitter_cloud, run)
    assert left_over(submitter_cloud, run) == [
        Entry(key="images/1.jpg", etag=None, size=None),
        Entry(key="images/2.jpg", etag=same, size=7),
        Entry(key="images/3.jpg", etag=same, size=7),
    ]


def test_a_retry_keeps_the_runs_own_choices(submitter_cloud: Cloud, run: str) -> None:
    new_run = retry_of(fresh(submitter_cloud, run), "again")
    assert (new_run.run_id, new_run.source, new_run.shard_size) == ("again", run, 2)
    assert new_run.options == {"recompute": True}
    assert new_run.folders == ("images/",)
    assert len(list(new_run.entries)) == new_run.tally.images == 5
    assert new_run.tally.bytes == 5 * 7


def test_images_named_by_their_address_are_found(submitter_cloud: Cloud, run: str) -> None:
    uri = f"s3://{submitter_cloud.targets.bucket}/images/1.jpg"
    submitter_cloud.report(run, 0, embedded=1, skipped=0, failures=[uri])
    assert left_over(submitter_cloud, run)[0].key == "images/1.jpg"


def test_failures_without_names_put_the_shard_in_doubt(submitter_cloud: Cloud, run: str) -> None:
    submitter_cloud.report(run, 0, embedded=1, skipped=0, failures=["images/1.jpg"])
    location = RunLocation.parse(run)
    submitter_cloud.services.s3.delete_object(Bucket=location.bucket, Key=location.failures_key(0))
    assert [entry.key for entry in left_over(submitter_cloud, run)][:2] == ["images/0.jpg", "images/1.jpg"]


def test_what_failed_of_tar_files(submitter_cloud: Cloud) -> None:
    submitter_cloud.put("t/a.tar", "t/a.tar/b.tar", "t/c.tar", "t/d.tar", "t/.e.tar", "t/f.jpg")
    result = handler({"Paths": ["t"], "Tars": True, "ShardSize": 10}, LambdaContext())
    run, bucket = result["run_uri"], submitter_cloud.targets.bucket
    assert (result["tars"], result["skipped"]) == (4, {"hidden": 1, "suffix": 1})

    def retried(*failed: str) -> list[tuple[str, tuple[str, ...] | None]]:
        submitter_cloud.report(run, 0, embedded=1, skipped=0, failures=failed)
        return [(each.key, each.only) for each in left_over(submitter_cloud, run)]

    address = f"tar+s3://{bucket}/t/d.tar#x/1%23.jpg"
    assert retried("t/c.tar/2.jpg", "t/c.tar/1.jpg", address) == [
        ("t/c.tar", ("t/c.tar/1.jpg", "t/c.tar/2.jpg")),
        ("t/d.tar", (address,)),
    ]
    assert retried("t/c.tar/2.jpg", "t/c.tar") == [("t/c.tar", None)], "it was cut"
    assert retried("t/a.tar/b.tar/1.jpg") == [("t/a.tar", None), ("t/a.tar/b.tar", None)], "it may be of both"
    assert len(retried("nobody's")) == 4
    many = [f"t/c.tar/{number}.jpg" for number in range(MOST_IDS + 1)]
    assert retried(*many, "t/d.tar/1.jpg") == [("t/c.tar", None), ("t/d.tar", ("t/d.tar/1.jpg",))]


def test_a_done_run_leaves_nothing(submitter_cloud: Cloud, run: str) -> None:
    for number, images in enumerate((2, 2, 1)):
        submitter_cloud.report(run, number, embedded=images, skipped=0)
    assert left_over(submitter_cloud, run) == []


@pytest.mark.parametrize(("body", "complaint"), [(None, "does not exist"), (b"?", "00001.jsonl: line 1")])
def test_a_shard_that_cannot_be_read(submitter_cloud: Cloud, run: str, body: bytes | None, complaint: str) -> None:
    location = RunLocation.parse(run)
    if body:
        submitter_cloud.put(location.shard_key(1), body=body)
    else:
        submitter_cloud.services.s3.delete_object(Bucket=location.bucket, Key=location.shard_key(1))
    with pytest.raises(UsageError, match=complaint):
        left_over(submitter_cloud, run)


def reconcile(cloud: Cloud, run: str, **more: Any) -> tuple[Verdict, list[tuple[str, str]]]:
    verdict = Verdict()
    verification = Verification(
        results=fresh(cloud, run), dynamodb=cloud.services.dynamodb, sleep=lambda _: None, **more
    )
    found = [(each.kind, each.image_id) for each in verification.differences(verdict)]
    return verdict, found


def test_manifest_and_table_agree(submitter_cloud: Cloud, run: str) -> None:
    for number in range(5):
        submitter_cloud.store(f"images/{number}.jpg", etag(submitter_cloud, run))
    verdict, differences = reconcile(submitter_cloud, run)
    assert (verdict.images, differences, verdict.exit_code) == (5, [], 0)
    assert verdict.fingerprints == {"resnet18/abc/pre1/float32": 5}


def test_images_of_tar_files_are_told_by_their_content(submitter_cloud: Cloud) -> None:
    submitter_cloud.put("shards/0.tar")
    run = str(handler({"Paths": ["shards/0.tar"]}, LambdaContext())["run_uri"])
    found = [
        {"image_id": "same", "etag": "a"},
        {"image_id": "other", "etag": "b"},
        {"image_id": "absent", "etag": "c"},
        {"image_id": "unread"},
        {"image_id": "same", "failed": "list: Collision"},
    ]
    lines = gzip.compress(b"".join(json.dumps(each).encode() + b"\n" for each in found))
    submitter_cloud.put(RunLocation.parse(run).members_key(0), body=lines)
    submitter_cloud.report(run, 0, embedded=3, skipped=0, failures=["unread", "same"])
    for image_id in ("same", "other", "unread"):
        submitter_cloud.store(image_id, "a")
    verdict, differences = reconcile(submitter_cloud, run)
    assert verdict.images == len(found)
    assert differences == [
        ("changed", "other"),
        ("absent", "absent"),
        ("failed", "unread"),
        ("failed", "same"),
    ], "of which the vector that is stored under `unread` is of an earlier content"


def test_every_difference_is_named(submitter_cloud: Cloud, run: str) -> None:
    submitter_cloud.store("images/0.jpg", etag(submitter_cloud, run))
    submitter_cloud.store("images/1.jpg", "of-an-earlier-picture")
    submitter_cloud.report(run, 1, embedded=0, skipped=0, failures=["images/2.jpg"])
    verdict, differences = reconcile(submitter_cloud, run)
    assert differences == [
        ("changed", "images/1.jpg"),
        ("failed", "images/2.jpg"),
        ("absent", "images/3.jpg"),
        ("absent", "images/4.jpg"),
    ]
    assert verdict.exit_code == 1


def test_two_models_are_a_difference(submitter_cloud: Cloud, run: str) -> None:
    for number in range(5):
        submitter_cloud.store(f"images/{number}.jpg", etag(submitter_cloud, run), f"model-{number % 2}")
    verdict, differences = reconcile(submitter_cloud, run)
    assert (differences, verdict.exit_code) == ([], 1)
    assert verdict.fingerprints == {"model-0": 3, "model-1": 2}


def test_images_named_by_their_address_are_compared(submitter_cloud: Cloud, run: str) -> None:
    bucket = submitter_cloud.targets.bucket
    for number in range(5):
        submitter_cloud.store(f"s3://{bucket}/images/{number}.jpg", etag(submitter_cloud, run))
    assert reconcile(submitter_cloud, run, image_id="uri")[1] == []
    assert len(reconcile(submitter_cloud, run)[1]) == 5


def test_how_images_are_named(submitter_cloud: Cloud, run: str) -> None:
    results = open_run(run, submitter_cloud.services)
    assert (image_id_of(results, None), image_id_of(results, "uri")) == ("key", "uri")
    with pytest.raises(UsageError, match="key or uri, not 'stem'"):
        image_id_of(results, "stem")


class SlowTable:
    """Answers one key at a time and leaves the others."""

    def __init__(self) -> None:
        self.calls = 0

    def batch_get_item(self, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        self.calls += 1
        ((table, request),) = RequestItems.items()
        first, *others = request["Keys"]
        left = {table: {**request, "Keys": others}} if others else {}
        item = {**first, "ETag": {"S": "e"}, "Fingerprint": {"S": "f"}}
        return {"Responses": {table: [item]}, "UnprocessedKeys": left}


def test_what_dynamodb_leaves_is_asked_for_again(submitter_cloud: Cloud, run: str) -> None:
    table: Any = SlowTable()
    verdict = Verdict()
    verification = Verification(results=fresh(submitter_cloud, run), dynamodb=table, sleep=lambda _: None)
    kinds = {each.kind for each in verification.differences(verdict)}
    assert (kinds, table.calls) == ({"changed"}, 5)
