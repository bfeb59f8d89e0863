"""Read a large object from its start to its end."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from submitter.errors import TransientError, UsageError, error_code

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from mypy_boto3_s3 import S3Client

_ATTEMPTS = 6
_CUT = (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


class ObjectStream(io.RawIOBase):
    """An object as one of Python's files, of which nothing is held.

    boto3 does not repeat a request whose answer is cut off while it is read. This asks for the rest of the same object.
    """

    def __init__(self, client: S3Client, bucket: str, key: str, *, most: int | None = None) -> None:
        """Open an object.

        Args:
            most: bytes after which it ends; None for the whole object. An empty object has no such beginning.
        """
        self.client = client
        self.bucket = bucket
        self.key = key
        self.position = 0
        self.last = "" if most is None else str(most - 1)
        if most is None:
            answer = client.get_object(Bucket=bucket, Key=key)
        else:
            answer = client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{self.last}")
        self.size, self.etag = answer["ContentLength"], answer["ETag"]
        self.body: Any = answer["Body"]

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes.

        Raises:
            TransientError: the connection was cut repeatedly.
            UsageError: the object was replaced meanwhile.
        """
        view = memoryview(buffer).cast("B")
        for _ in range(_ATTEMPTS):
            if self.position == self.size:
                return 0
            try:
                data: bytes = (self.body or self._reopen()).read(len(view))
            except _CUT:
                self.body = None
                continue
            if data:
                view[: len(data)] = data
                self.position += len(data)
                return len(data)
            self.body = None
        raise TransientError(f"reading {self.uri} was cut off {_ATTEMPTS} times; try again")

    def _reopen(self) -> Any:
        try:
            answer = self.client.get_object(
                Bucket=self.bucket, Key=self.key, Range=f"bytes={self.position}-{self.last}", IfMatch=self.etag
            )
        except ClientError as error:
            if error_code(error) not in {"PreconditionFailed", "412", "NoSuchKey"}:
                raise
            raise UsageError(f"{self.uri} was replaced while it was read; submit again") from error
        self.body = answer["Body"]
        return self.body
