"""AWS clients: what is different from boto3's own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from embedder.system import aws
from tests.parts.s3 import S3


def test_times_of_a_listing_are_those_of_boto3(moto_bucket: S3) -> None:
    moto_bucket.put({"1.jpg": b"x"})
    (ours,) = aws.s3_client(1).list_objects_v2(Bucket=moto_bucket.bucket)["Contents"]
    (theirs,) = moto_bucket.client().list_objects_v2(Bucket=moto_bucket.bucket)["Contents"]
    assert ours == theirs
    assert abs(ours["LastModified"] - datetime.now(UTC)).total_seconds() < 600


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-27T09:15:00.250Z", datetime(2026, 11, 27, 9, 15, 0, 250_000, UTC)),
        ("2026-11-27T09:15:00+02:00", datetime(2026, 11, 27, 7, 15, tzinfo=UTC)),
        ("Fri, 27 Nov 2026 09:15:00 GMT", datetime(2026, 11, 27, 9, 15, tzinfo=UTC)),
        ("27 Nov 2026 09:15:00 Z", datetime(2026, 11, 27, 9, 15, tzinfo=UTC)),
        (1795770900, datetime(2026, 11, 27, 9, 15, tzinfo=UTC)),
    ],
)
def test_times_in_every_form_that_botocore_reads(text: str | int, expected: datetime) -> None:
    assert aws.parse_time(text) == expected
