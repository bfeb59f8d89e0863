from __future__ import annotations

import json
from typing import Any

import pytest

from submitter.errors import OutOfTimeError, RefusedError, SetupError, SubmitterError, TransientError, UsageError
from submitter.handler import handler
from submitter.manifest import Entry
from tests.submitter.cloud import Cloud
from tests.submitter.lambda_events import (
    TEST_NOTIFICATION,
    LambdaContext,
    http_api,
    rest_api,
    s3_record,
    scheduled,
    sqs,
    sqs_message,
)

EVENT = {"Paths": ["images"]}


@pytest.fixture
def cloud(submitter_cloud: Cloud) -> Cloud:
    submitter_cloud.put("images/1.jpg", "images/2.PNG", "images/notes.txt", "images-old/3.jpg")
    return submitter_cloud


def test_the_originals_event(cloud: Cloud) -> None:
    result = handler(EVENT, LambdaContext("request-1"))
    (job,) = cloud.jobs()
    assert result == {
        "run_uri": f"s3://{cloud.targets.bucket}/manifests/request-1/",
        "jobs": [job["jobId"]],
        "shards": 1,
        "images": 2,
        "bytes": 14,
        "skipped": {"suffix": 1},
        "empty_paths": [],
    }
    assert cloud.environment(job)["EMBEDDER_SOURCE"] == result["run_uri"]
    assert cloud.environment(job)["EMBEDDER_STORE"] == f"dynamodb://{cloud.targets.table}"
    assert "arrayProperties" not in job
    assert json.loads(json.dumps(result)) == result


def test_the_same_event_again(cloud: Cloud) -> None:
    first = handler(EVENT, LambdaContext("request-1"))
    cloud.put("images/4.jpg")
    assert handler(EVENT, LambdaContext("request-1")) == first
    assert len(cloud.jobs()) == 1
    second = handler(EVENT, LambdaContext("request-2"))
    assert (second["images"], len(cloud.jobs())) == (3, 2)


def test_every_field(cloud: Cloud) -> None:
    event = {"Paths": ["/images/"], "ShardSize": 1, "Suffixes": [".TXT", "jpg"], "Recompute": True}
    result = handler(event, LambdaContext())
    keys = [[entry.key for entry in shard] for shard in cloud.entries(result["run_uri"])]
    assert keys == [["images/1.jpg"], ["images/notes.txt"]]
    assert cloud.run(result["run_uri"]).options == {"recompute": True}


def test_a_dry_run_writes_nothing(cloud: Cloud, submitter_environment: pytest.MonkeyPatch) -> None:
    submitter_environment.delenv("BATCH_JOB_QUEUE")
    before = cloud.keys()
    result = handler({**EVENT, "DryRun": True}, LambdaContext())
    assert (result["run_uri"], result["jobs"], result["planned_jobs"]) == (None, [], 1)
    assert (result["images"], result["shards"], result["skipped"]) == (2, 1, {"suffix": 1})
    assert result["cost_usd"]["total"] >= 0
    assert cloud.keys() == before
    assert not cloud.jobs()


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (None, "the event is None, expected"),
        ([], r"the event is \[\], expected"),
        ("images", "the event is 'images'"),
        ({}, "no Paths"),
        ({"Paths": ["images"], "Path": 1}, "unknown field 'Path', did you mean Paths"),
        ({"Paths": ["typo"]}, "no image was found in 'typo/': there is no object"),
        ({"Paths": ["manifests"]}, "no image was found"),
        ({"Paths": ["/"]}, "WholeBucket"),
        (scheduled(), "constant input"),
        ({"Records": []}, "expected SQS messages"),
        ({"Records": [s3_record("b", "k")]}, "come from aws:s3, expected SQS"),
        ({"Records": [{"EventSource": "aws:sns", "Sns": {}}]}, "come from aws:sns, expected SQS"),
    ],
)
def test_a_bad_event_writes_nothing(cloud: Cloud, event: Any, complaint: str) -> None:
    before = cloud.keys()
    with pytest.raises(UsageError, match=complaint):
        handler(event, LambdaContext())
    assert cloud.keys() == before
    assert not cloud.jobs()


@pytest.mark.parametrize(
    "variable", ["S3_BUCKET_NAME", "DYNAMODB_TABLE_NAME", "BATCH_JOB_QUEUE", "BATCH_JOB_DEFINITION"]
)
def test_a_missing_variable_writes_nothing(
    cloud: Cloud, submitter_environment: pytest.MonkeyPatch, variable: str
) -> None:
    submitter_environment.delenv(variable)
    with pytest.raises(SetupError, match=f"not set: {variable}"):
        handler(EVENT, LambdaContext())
    assert "manifests/" not in "".join(cloud.keys())


def test_out_of_time(cloud: Cloud) -> None:
    with pytest.raises(OutOfTimeError, match="nothing was submitted"):
        handler(EVENT, LambdaContext(milliseconds=2000))
    assert not cloud.jobs()
    assert "manifests/" not in "".join(cloud.keys())


def test_a_bucket_that_is_not_there(cloud: Cloud, submitter_environment: pytest.MonkeyPatch) -> None:
    del cloud
    submitter_environment.setenv("S3_BUCKET_NAME", "no-such-bucket-anywhere")
    with pytest.raises(RefusedError, match=r"NoSuchBucket.*check the name of the bucket"):
        handler(EVENT, LambdaContext())


def test_an_unreachable_aws_is_transient(submitter_environment: pytest.MonkeyPatch) -> None:
    for variable in ("S3_BUCKET_NAME", "DYNAMODB_TABLE_NAME", "BATCH_JOB_QUEUE", "BATCH_JOB_DEFINITION"):
        submitter_environment.setenv(variable, "x" * 5)
    submitter_environment.setattr("submitter.clients._PATIENT", None)
    submitter_environment.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(TransientError, match="try again"):
        handler(EVENT, LambdaContext())


@pytest.mark.parametrize("event", [scheduled(EVENT), scheduled(**EVENT), EVENT])
def test_a_schedule_that_carries_paths(cloud: Cloud, event: Any) -> None:
    del cloud
    assert handler(event, LambdaContext())["images"] == 2


@pytest.mark.parametrize(
    "event",
    [
        rest_api(json.dumps(EVENT)),
        http_api(json.dumps(EVENT)),
        http_api(json.dumps(EVENT), encoded=True),
    ],
)
def test_an_http_request(cloud: Cloud, event: Any) -> None:
    del cloud
    answer = handler(event, LambdaContext())
    assert answer["statusCode"] == 200
    assert answer["headers"] == {"content-type": "application/json"}
    assert json.loads(answer["body"])["images"] == 2


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (rest_api(None), "not JSON"),
        (rest_api("{"), "not JSON"),
        (rest_api("[]"), "the event is []"),
        (rest_api("{}"), "no Paths"),
        (http_api("?", encoded=True), "not JSON"),
        ({**http_api("x"), "isBase64Encoded": True}, "not JSON"),
        (http_api(json.dumps(EVENT), method="GET"), "the HTTP method is GET"),
        (http_api('{"Paths": ["typo"]}'), "no image was found"),
    ],
)
def test_a_bad_http_request_gets_an_answer(cloud: Cloud, event: Any, complaint: str) -> None:
    answer = handler(event, LambdaContext())
    assert answer["statusCode"] == 400
    assert complaint in json.loads(answer["body"])["error"]
    assert not cloud.jobs()


def test_http_says_whose_fault_it_is(cloud: Cloud, submitter_environment: pytest.MonkeyPatch) -> None:
    del cloud
    event = http_api(json.dumps(EVENT))
    assert handler(event, LambdaContext(milliseconds=1))["statusCode"] == 504
    submitter_environment.delenv("S3_BUCKET_NAME")
    assert handler(event, LambdaContext())["statusCode"] == 500


def test_notifications_become_shards_without_a_listing(cloud: Cloud) -> None:
    bucket = cloud.targets.bucket
    event = sqs(
        sqs_message("m1", {"Records": [s3_record(bucket, "images/a b+c é.jpg", size=5)]}),
        sqs_message("m2", {"Records": [s3_record(bucket, "images/readme.txt"), s3_record(bucket, "x.png")]}),
        sqs_message("m3", {"Records": [s3_record(bucket, "images/gone.jpg", event="ObjectRemoved:Delete")]}),
        sqs_message("m4", {"Records": [s3_record(bucket, "manifests/r/plot.png")]}),
        sqs_message("m5", TEST_NOTIFICATION),
        sqs_message("m6", {"Records": [s3_record(bucket, "x.png", size=9)]}),
    )
    result = handler(event, LambdaContext())
    ((first, second),) = cloud.entries(result["run_uri"])
    assert first == Entry(key="images/a b+c é.jpg", etag="d41d8cd98f00b204e9800998ecf8427e", size=5)
    assert (second.key, second.size) == ("x.png", 9)
    assert result["skipped"] == {"suffix": 1, "not_created": 1, "manifests": 1}
    assert result["batchItemFailures"] == []
    assert cloud.run(result["run_uri"]).source == "notifications"
    again = handler({"Records": event["Records"][::-1]}, LambdaContext("another"))
    assert (again["run_uri"], again["jobs"]) == (result["run_uri"], result["jobs"])
    assert len(cloud.jobs()) == 1


def test_notifications_of_nothing_new(cloud: Cloud) -> None:
    event = sqs(sqs_message("m1", TEST_NOTIFICATION))
    result = handler(event, LambdaContext())
    assert (result["run_uri"], result["images"], result["batchItemFailures"]) == (None, 0, [])
    assert not cloud.jobs()


BAD_BODIES = [
    "not json",
    "[]",
    "{}",
    {"Records": [{}]},
    {"Records": [s3_record("another-bucket", "images/1.jpg")]},
    {"Records": [{**s3_record("x", "k"), "s3": {"bucket": {}}}]},
]


@pytest.mark.parametrize("body", BAD_BODIES)
def test_one_bad_message_does_not_hold_up_the_others(cloud: Cloud, body: Any) -> None:
    good = sqs_message("good", {"Records": [s3_record(cloud.targets.bucket, "images/1.jpg")]})
    result = handler(sqs(sqs_message("bad", body), good), LambdaContext())
    assert result["batchItemFailures"] == [{"itemIdentifier": "bad"}]
    assert result["images"] == 1
    alone = handler(sqs(good), LambdaContext())
    assert alone["run_uri"] == result["run_uri"], "a run is named by the messages that are in it"


@pytest.mark.parametrize("body", BAD_BODIES)
def test_only_bad_messages_are_an_error(cloud: Cloud, body: Any) -> None:
    with pytest.raises(SubmitterError, match=r"no message of the batch can be read.*bad: not an S3 notification"):
        handler(sqs(sqs_message("bad", body)), LambdaContext())
    assert not cloud.jobs()
