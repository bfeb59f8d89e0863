from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, ResponseStreamingError

from submitter.errors import TransientError
from submitter.objects import Objects
from tests.submitter.cloud import Cloud
from tests.submitter.fake_aws import BUCKET, Answer, FakeAws, xml_error


def test_put_once_by_a_real_server(submitter_cloud: Cloud) -> None:
    objects = Objects(client=submitter_cloud.services.s3, bucket=submitter_cloud.targets.bucket)
    assert objects.get("a") is None
    assert objects.put_once("a", b"mine") == b"mine"
    assert objects.put_once("a", b"theirs") == b"mine"
    objects.copy("a", "b")
    objects.put("a", b"new")
    assert (objects.get("a"), objects.get("b")) == (b"new", b"mine")
    assert [stored.key for stored in objects.list("")] == ["a", "b"]


def conflicting(code: str, status: int, times: int) -> Callable[[str, Callable[[], Answer]], Answer]:
    left = times

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        nonlocal left
        if operation != "PutObject" or not left:
            return serve()
        left -= 1
        return xml_error(status, code)

    return intercept


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.usefixtures("no_waiting")
def test_a_conflict_is_tried_again(submitter_fake: FakeAws) -> None:
    client = submitter_fake.connect(conflicting("ConditionalRequestConflict", 409, 2)).s3
    assert Objects(client=client, bucket=BUCKET).put_once("a", b"mine") == b"mine"


@pytest.mark.usefixtures("no_waiting")
def test_a_conflict_without_an_end_is_transient(submitter_fake: FakeAws) -> None:
    client = submitter_fake.connect(conflicting("ConditionalRequestConflict", 409, 99)).s3
    with pytest.raises(TransientError, match="still being written"):
        Objects(client=client, bucket=BUCKET).put_once("a", b"mine")


def test_our_own_write_whose_answer_was_lost(submitter_fake: FakeAws) -> None:
    """boto3 asks again, and S3 says that the object exists."""
    lost = iter([True])

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        answer = serve()
        return xml_error(503, "SlowDown") if operation == "PutObject" and next(lost, False) else answer

    client = submitter_fake.connect(intercept).s3
    assert Objects(client=client, bucket=BUCKET).put_once("a", b"mine") == b"mine"


def test_other_refusals_are_raised(submitter_fake: FakeAws) -> None:
    client = submitter_fake.connect(lambda *_: xml_error(403, "AccessDenied")).s3
    objects = Objects(client=client, bucket=BUCKET)
    with pytest.raises(ClientError, match="AccessDenied"):
        objects.put_once("a", b"mine")
    with pytest.raises(ClientError, match="AccessDenied"):
        objects.get("a")


def test_a_body_that_is_cut_off_is_read_again(submitter_fake: FakeAws) -> None:
    class Cut(Answer):
        def read(self, amount: int | None = None) -> bytes:  # noqa: ARG002
            raise ResponseStreamingError(error="cut")

        def stream(self, *_: object, **__: object) -> object:  # type: ignore[override]
            raise ResponseStreamingError(error="cut")

    submitter_fake.objects["a"] = b"mine"
    cuts = iter([True, True])
    client = submitter_fake.connect(lambda _, serve: Cut() if next(cuts, False) else serve()).s3
    assert Objects(client=client, bucket=BUCKET).get("a") == b"mine"
    client = submitter_fake.connect(lambda *_: Cut()).s3
    with pytest.raises(TransientError, match="cut off"):
        Objects(client=client, bucket=BUCKET).get("a")
