"""What a test sees of an S3, whichever server is behind it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import boto3

from tests.parts.aws import Credentials

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, kw_only=True, slots=True)
class S3:
    """A server, who calls it, and a bucket that belongs to the test alone."""

    server: str
    """`moto` or `rclone`, for the few tests that must know of a server's limits."""
    endpoint: str
    credentials: Credentials
    bucket: str = field(default_factory=lambda: f"photos-{uuid.uuid4().hex[:12]}")

    def client(self) -> S3Client:
        return boto3.client("s3", endpoint_url=self.endpoint, **self.credentials.client_options())

    def environment(self) -> dict[str, str]:
        return self.credentials.environment() | {"AWS_ENDPOINT_URL_S3": self.endpoint}

    def create_bucket(self) -> S3:
        """Make the bucket, and return this S3 for use in one expression."""
        self.client().create_bucket(Bucket=self.bucket)
        return self

    def uri(self, key: str = "") -> str:
        return f"s3://{self.bucket}/{key}"

    def put(self, objects: Mapping[str, bytes]) -> None:
        """Store each object under its key."""
        client = self.client()
        for key, body in objects.items():
            client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return self.client().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        """Every key under the prefix, in S3's order."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]
