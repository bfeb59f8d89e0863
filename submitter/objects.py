"""Read, write, copy and list the small objects of one bucket."""

from __future__ import annotations

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
    """An object as a listing describes it."""

    key: str
    modified: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The objects of a run: small, and read and written whole."""

    client: S3Client
    bucket: str

    def get(self, key: str) -> bytes | None:
        """Return the object's bytes, or None if there is no such object.

        Raises:
            TransientError: the connection was cut repeatedly.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
            except ClientError as error:
                if error_code(error) in {"NoSuchKey", "404"}:
                    return None
                raise
            except ResponseStreamingError:  # boto3 does not retry a connection that is cut while the body is read
                continue
        raise TransientError(f"reading s3://{self.bucket}/{key} was cut off {_ATTEMPTS} times; try again")

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def put_once(self, key: str, body: bytes) -> bytes:
        """Write the object unless it exists, and return its content: `body`, or what was written first.

        A repetition is safe: if an answer is lost, boto3 sends the request again, S3 says that the object exists,
        and what is read back is our own body.

        Raises:
            TransientError: another writer did not finish.
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
            time.sleep(0.1 * 2**attempt)  # another writer has not finished yet
        raise TransientError(f"s3://{self.bucket}/{key} is still being written by another process; try again")

    def copy(self, source: str, target: str) -> None:
        self.client.copy_object(Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source})

    def list(self, prefix: str) -> Iterator[Stored]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        for page in pages:
            for found in page.get("Contents", []):
                yield Stored(key=found["Key"], modified=found["LastModified"])
