"""Addresses of buckets: what one request of boto3's shows about all others, or that it shows nothing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
from botocore.config import Config
from botocore.credentials import ReadOnlyCredentials
from hypothesis import given
from hypothesis import strategies as st
from urllib3.response import HTTPResponse

from embedder.sources.address import Address

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
SECRETS = st.text("ABCDabcd0189/+=", min_size=1, max_size=40)
CREDENTIALS = st.builds(
    ReadOnlyCredentials, SECRETS.map(lambda text: text.replace("/", "K")), SECRETS, st.none() | SECRETS
)


def request_of_boto3(key: str = "images/1.jpg", *, bucket: str = "photos", **options: Any) -> AWSPreparedRequest:
    """Return what boto3 would send to AWS to get an object; nothing is sent."""
    session = boto3.session.Session("id", "secret", region_name="eu-west-1")
    client = session.client("s3", **options)
    seen: list[AWSPreparedRequest] = []

    def answer(request: AWSPreparedRequest, **_: object) -> AWSResponse:
        seen.append(request)
        return AWSResponse(request.url, 200, {"ETag": '"x"'}, HTTPResponse(io.BytesIO()))  # type: ignore[arg-type]

    events: Any = client.meta.events
    events.register("before-send.s3.GetObject", answer)
    client.get_object(Bucket=bucket, Key=key)
    return seen[0]


def s3_config(**settings: Any) -> dict[str, Any]:
    values: Any = settings
    return {"config": Config(s3=values)}


OURS = ReadOnlyCredentials("id", "secret", None)


@pytest.mark.parametrize(
    ("bucket", "options", "host", "root"),
    [
        ("photos", {}, "photos.s3.eu-west-1.amazonaws.com", "/"),
        ("my.photos", {}, "s3.eu-west-1.amazonaws.com", "/my.photos/"),
        ("photos", s3_config(addressing_style="path"), "s3.eu-west-1.amazonaws.com", "/photos/"),
        ("photos", s3_config(use_dualstack_endpoint=True), "photos.s3.dualstack.eu-west-1.amazonaws.com", "/"),
        ("photos", s3_config(use_accelerate_endpoint=True), "photos.s3-accelerate.amazonaws.com", "/"),
        ("photos", {"endpoint_url": "https://s3.example:443/base"}, "s3.example", "/base/photos/"),
        ("photos", {"endpoint_url": "http://127.0.0.1:9000"}, "127.0.0.1:9000", "/photos/"),
        ("photos", {"endpoint_url": "http://[::1]:9000"}, "[::1]:9000", "/photos/"),
        (
            "arn:aws:s3:us-west-2:123456789012:accesspoint/mine",
            s3_config(use_arn_region=True),
            "mine-123456789012.s3-accesspoint.us-west-2.amazonaws.com",
            "/",
        ),
    ],
)
def test_a_request_shows_where_a_bucket_is(bucket: str, options: dict[str, Any], host: str, root: str) -> None:
    request = request_of_boto3("a b//c", bucket=bucket, **options)
    found = Address.of(request, "a b//c", OURS)
    assert found is not None
    assert (found.host, found.root, found.path("/d+é")) == (host, root, f"{root}/d%2B%C3%A9")
    again = request_of_boto3("/d+é", bucket=bucket, **options)
    sent: Any = again.headers
    headers = {name.lower(): value.decode() for name, value in sent.items()}
    ours = found.headers("/d+é", OURS, headers["x-amz-date"])
    assert ours.items() - {("host", host)} <= headers.items()
    assert headers.keys() - ours.keys() == {"amz-sdk-invocation-id", "amz-sdk-request"}


@given(key=KEYS, other=KEYS, credentials=CREDENTIALS)
def test_signatures_are_those_of_botocore(key: str, other: str, credentials: ReadOnlyCredentials) -> None:
    def signed(key: str) -> AWSPreparedRequest:
        request = AWSRequest("GET", f"https://b.s3.amazonaws.com{path(key)}", {"x-amz-checksum-mode": "ENABLED"})
        S3SigV4Auth(credentials, "s3", "eu-west-1").add_auth(request)
        return request.prepare()

    def path(key: str) -> str:
        return Address("https", "", "/", "", ()).path(key)

    found = Address.of(signed(key), key, credentials)
    assert found is not None
    theirs: Mapping[str, str] = {name.lower(): value for name, value in signed(other).headers.items()}
    assert found.headers(other, credentials, theirs["x-amz-date"])["authorization"] == theirs["authorization"]


@pytest.mark.parametrize("version", ["s3", "s3-query", UNSIGNED], ids=["version 2", "in the query", "none"])
def test_other_signatures_are_left_to_boto3(version: Any) -> None:
    request = request_of_boto3(config=Config(signature_version=version))
    assert Address.of(request, "images/1.jpg", OURS) is None


@pytest.mark.parametrize("name", ["x-amz-request-payer", "x-amz-s3session-token", "Range"])
def test_headers_that_we_do_not_send_leave_a_bucket_to_boto3(name: str) -> None:
    request = request_of_boto3()
    assert Address.of(request, "images/1.jpg", OURS) is not None
    request.headers[name] = "x"
    assert Address.of(request, "images/1.jpg", OURS) is None


def test_the_host_may_be_named_as_boto3_does_with_its_crt_extra() -> None:
    request = request_of_boto3()
    request.headers["host"] = "photos.s3.eu-west-1.amazonaws.com"
    assert Address.of(request, "images/1.jpg", OURS) is not None


def test_a_request_for_something_else_shows_nothing() -> None:
    request = request_of_boto3()
    assert Address.of(request, "images/2.jpg", OURS) is None
    assert Address.of(request, "images/1.jpg", ReadOnlyCredentials("id", "another", None)) is None
    assert Address.of(request, "images/1.jpg", ReadOnlyCredentials("id", "secret", "token")) is None
