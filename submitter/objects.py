"""The few things this program does with objects of one bucket."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ResponseStreamingError

from submitter.errors import TransientError, error_code

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ATTEMPTS = 6
_EXISTS = frozenset({"PreconditionFailed", "412", "ConditionalRequestConflict", "409"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object as a listing shows it."""

    key: str
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The small objects of a run: read and written whole."""

    client: "S3Client"
    bucket: str

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None if there is no such object."""
        for _ in range(_ATTEMPTS):
            try:
                return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error_code(error) in {"NoSuchKey", "404"}:
                    return None
                raise
            except ResponseStreamingError:  # cut while it was read, which boto3 does not ask again for
                continue
        raise TransientError(f"s3://{self.bucket}/{key} was cut off {_ATTEMPTS} times while it was read")

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def put_once(self, key: str, body: bytes) -> bytes:
        """Write the object unless it exists, and return what it holds: `body`, or what came first.

        Safe to repeat: an answer lost on the way makes boto3 ask again, S3 says that the object
        exists, and what is read back is our own.
        """
        for attempt in range(_ATTEMPTS):
            try:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=body, IfNoneMatch="*")
                return body
            except ClientError as error:
                if error_code(error) not in _EXISTS:
                    raise
            existing = self.get(key)
            if existing is not None:
                return existing
            time.sleep(0.1 * 2**attempt)  # somebody else's write of it has not ended yet
        raise TransientError(f"s3://{self.bucket}/{key} is being written by somebody else; try again")

    def copy(self, source: str, target: str) -> None:
        self.client.copy_object(Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source})

    def list(self, prefix: str) -> Iterator[Stored]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for found in page.get("Contents", []):
                yield Stored(key=found["Key"], modified=found["LastModified"])
