"""S3 as images are read from it: listed, found and fetched, with patience."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from embedder.errors import ConfigurationError, ImageError, TransientError
from embedder.records import Reference, Sample
from embedder.sources import DENIED, S3_SCHEME
from embedder.sources.objects import CHANGED, MISSING_CODES, Objects
from embedder.system import aws
from embedder.system.cores import usable_cores

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

T = TypeVar("T")

READERS = 16
"""GetObject calls at once for every three cores: enough to hide 50 ms of latency from what they decode and encode."""

READERS_MOST = 128

DENIED_LIMIT = 20
"""If so many images are denied and none was read, permissions are wrong and not the images."""


def split_uri(uri: str) -> tuple[str, str]:
    """Split `s3://bucket/some/key` into `("bucket", "some/key")`.

    Raises:
        ConfigurationError: it is not such a URI.
    """
    bucket, _, key = uri.removeprefix(S3_SCHEME).partition("/")
    if not uri.startswith(S3_SCHEME) or not bucket:
        raise ConfigurationError(f"{uri} is not an S3 address: expected s3://BUCKET/PREFIX/")
    return bucket, key


def reader_threads(cores: int) -> int:
    """Return how many objects a machine should read at once."""
    return min(READERS * max(1, cores // 3), READERS_MOST)


class S3Reader:
    """Reads objects, with patience, and tells one bad object from a broken network; see `Reader`.

    Args:
        stopping: when set, waiting for a broken network ends.
    """

    remote = True

    def __init__(self, stopping: threading.Event) -> None:
        self.readers = reader_threads(usable_cores())
        """How many calls of `read` at once are worth while."""
        access = aws.s3_access(self.readers)
        self.client = access.client
        self.objects = Objects(access)
        self.patience = aws.Patience(stopping)
        self.start_patience = aws.Patience(stopping, aws.START_PATIENCE_SECONDS)
        self.last_success = 0.0
        self.denied = 0

    def read(self, reference: Reference) -> Sample:
        """Return an object's bytes, with the ETag that belongs to them in the reference.

        Raises:
            ImageError: this object cannot be read, others can.
            TransientError: no object has been read since this call began.
            ConfigurationError: the bucket or the credentials are at fault.
        """
        bucket, key = split_uri(reference.uri)
        data, etag = self._patiently(bucket, lambda: self.objects.get(bucket, key, self.patience))
        return Sample(reference=replace(reference, etag=etag, size=len(data)), data=data)

    def read_range(self, bucket: str, key: str, offset: int, size: int, etag: str) -> bytes:
        """Return a part of an object that still has this ETag; raise as `read` does."""
        return self._patiently(bucket, lambda: self.objects.get_range(bucket, key, offset, size, etag, self.patience))

    def measure(self, bucket: str, key: str) -> tuple[int, str]:
        """Return an object's size and its ETag; raise as `read` does."""
        return self._patiently(bucket, lambda: self.objects.measure(bucket, key, self.patience))

    def _patiently(self, bucket: str, ask: Callable[[], T]) -> T:
        began = time.monotonic()
        try:
            found = ask()
        except ImageError as error:
            raise self._weigh(error, bucket, began) from error.__cause__
        self.last_success = time.monotonic()
        return found

    def _weigh(self, error: ImageError, bucket: str, began: float) -> Exception:
        """Return what one object's error means, given what happened to the others."""
        if error.transient and error.error != CHANGED and self.last_success < began:
            return TransientError(f"s3://{bucket} did not answer: {error.error}: {error.message}; try again")
        if error.error == DENIED:
            self.denied += 1
            if self.denied >= DENIED_LIMIT and not self.last_success:
                return ConfigurationError(
                    f"access denied to the first {self.denied} images of s3://{bucket}; s3:GetObject is needed"
                )
        return error

    def close(self) -> None:
        """Close idle connections. Reading again opens new ones."""
        self.objects.close()

    def pages(self, bucket: str, prefix: str) -> Iterator[list[ObjectTypeDef]]:
        """Yield the objects below a prefix, a thousand at a time, in the order of their keys."""
        request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        patience = self.start_patience
        while True:
            with aws.sentences(f"s3://{bucket}/{prefix}"):
                page = patience.call(self.client.list_objects_v2, **request)
            patience = self.patience
            yield page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def find(self, bucket: str, key: str) -> bytes | None:
        """Return a small object's bytes, None if there is no such object."""
        with aws.sentences(f"s3://{bucket}/{key}"):
            try:
                return self.start_patience.call(self.objects.get_once, bucket, key)[0]
            except ClientError as error:
                if aws.error_code(error) in MISSING_CODES:
                    return None
                raise

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Write an object."""
        with aws.sentences(f"s3://{bucket}/{key}"):
            self.patience.call(self.client.put_object, Bucket=bucket, Key=key, Body=data)

    def exists(self, bucket: str, key: str, *, at_start: bool = False) -> bool:
        """Whether there is such an object."""
        patience = self.start_patience if at_start else self.patience
        with aws.sentences(f"s3://{bucket}/{key}"):
            try:
                patience.call(self.client.head_object, Bucket=bucket, Key=key)
            except ClientError as error:
                if aws.error_code(error) in MISSING_CODES:
                    return False
                raise
        return True
