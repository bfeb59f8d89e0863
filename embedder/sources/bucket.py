"""Images in S3: an object by its key, and everything below a prefix."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from embedder.errors import ConfigurationError, ImageError, TransientError
from embedder.records import Failure, Reference, Sample
from embedder.sources import DENIED, S3_SCHEME, Selection
from embedder.sources.fetchers import Fetchers
from embedder.sources.naming import image_id, suffix, unique_stems
from embedder.sources.objects import MISSING_CODES, get_object, get_once
from embedder.system import aws
from embedder.system.cores import usable_cores

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

READERS = 16
"""GetObject calls at once: enough to hide 50 ms of latency from a CPU worker many times over."""

FETCHER_CORES = 3
"""Cores for each process that reads objects."""

FETCHERS_MOST = 8
"""These read 5,200 objects a second, more than one process hands on to decoding and the store."""

FETCHERS_FROM = 200
"""Objects that this process reads itself before it starts others: for so few that takes longer."""

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
DENIED_LIMIT = 20
"""So many images denied, and none read, is a matter of permissions and not of images."""


def fetching_processes() -> int:
    """Return how many processes read from S3."""
    return min(usable_cores() // FETCHER_CORES, FETCHERS_MOST)


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/some/key` → `("bucket", "some/key")`.

    Raises:
        ConfigurationError: it is not such a URI.
    """
    bucket, _, key = uri.removeprefix(S3_SCHEME).partition("/")
    if not uri.startswith(S3_SCHEME) or not bucket:
        raise ConfigurationError(f"{uri} is not an S3 address: expected s3://BUCKET/PREFIX/")
    return bucket, key


class S3Reader:
    """Reads objects, with patience, and tells one bad object from a broken network; see `Reader`.

    Args:
        stopping: when set, waiting for a broken network ends.
    """

    remote = True

    def __init__(self, stopping: threading.Event) -> None:
        self.client = aws.s3_client(READERS * FETCHERS_MOST)
        self.patience = aws.Patience(stopping)
        self.start_patience = aws.Patience(stopping, aws.START_PATIENCE_SECONDS)
        self.asked = itertools.count()
        self.last_success = 0.0
        self.denied = 0

    @cached_property
    def fetchers(self) -> Fetchers:
        """The processes that read for this one, as many as there are cores for when a source is opened."""
        patience = self.patience
        return Fetchers(fetching_processes(), READERS, stopping=patience.stopping, patience=patience.seconds)

    @property
    def readers(self) -> int:
        """How many calls of `read` at once are worth while."""
        return READERS * max(1, self.fetchers.processes)

    def read(self, reference: Reference) -> Sample:
        """Return an object's bytes; the reference's ETag becomes the one that they have.

        Raises:
            ImageError: this object cannot be read; others can.
            TransientError: no object has been read since we began to try.
            ConfigurationError: the bucket or the credentials are at fault.
        """
        if next(self.asked) == FETCHERS_FROM:
            self.fetchers.start()
        bucket, key = split_uri(reference.uri)
        began = time.monotonic()
        try:
            data, etag = self.fetchers.get(bucket, key) or get_object(self.client, self.patience, bucket, key)
        except ImageError as error:
            raise self._weigh(error, bucket, began) from error.__cause__
        self.last_success = time.monotonic()
        return Sample(reference=replace(reference, etag=etag, size=len(data)), data=data)

    def _weigh(self, error: ImageError, bucket: str, began: float) -> Exception:
        """Return what one object's error means beside what came of the others."""
        if error.transient and self.last_success < began:
            return TransientError(f"s3://{bucket} did not answer: {error.error}: {error.message}; try again")
        if error.error == DENIED:
            self.denied += 1
            if self.denied >= DENIED_LIMIT and not self.last_success:
                return ConfigurationError(
                    f"access denied to the first {self.denied} images of s3://{bucket}; s3:GetObject is needed"
                )
        return error

    def close(self) -> None:
        """End the processes that read for this one. It can be used afterwards, and reads for itself."""
        self.fetchers.close()

    def pages(self, bucket: str, prefix: str) -> Iterator[list[ObjectTypeDef]]:
        """Yield the objects below a prefix, a thousand at a time, in the order of their keys."""
        request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        patience = self.start_patience
        while True:
            with aws.sentences(f"s3://{bucket}/{prefix}"):
                try:
                    page = patience.call(self.client.list_objects_v2, **request)
                except ClientError as error:
                    if aws.error_code(error) == "NoSuchBucket":
                        raise ConfigurationError(f"there is no bucket {bucket}") from None
                    raise
            patience = self.patience
            yield page.get("Contents", [])
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def find(self, bucket: str, key: str) -> bytes | None:
        """Return a small object's bytes, None if there is no such object."""
        with aws.sentences(f"s3://{bucket}/{key}"):
            try:
                return self.start_patience.call(get_once, self.client, bucket, key)[0]
            except ClientError as error:
                if aws.error_code(error) in MISSING_CODES:
                    return None
                if aws.error_code(error) == "NoSuchBucket":
                    raise ConfigurationError(f"there is no bucket {bucket}") from None
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


class PrefixSource:
    """The images below an S3 prefix, listed as they are needed; see `Source`.

    A prefix names a folder: `s3://b/images` means `images/…` (or the one object `images`, if that is
    what there is) and never `images-old/…`.
    """

    remote = True

    def __init__(self, reader: S3Reader, bucket: str, prefix: str, selection: Selection) -> None:
        self.reader = reader
        self.readers = reader.readers
        self.bucket = bucket
        self.selection = selection
        self.single = bool(prefix) and not prefix.endswith("/") and reader.exists(bucket, prefix, at_start=True)
        self.prefix = prefix if self.single or not prefix or prefix.endswith("/") else f"{prefix}/"
        self.name = f"s3://{bucket}/{self.prefix}"
        self.ignored: Counter[str] = Counter()
        self.total: int | None = 1 if self.single else None

    def references(self) -> Iterator[Reference | Failure]:
        if self.single:
            return iter([self._reference(self.prefix, None, None)])
        found = self._list()
        return unique_stems(found) if self.selection.image_id == "stem" else found

    def _list(self) -> Iterator[Reference | Failure]:
        for page in self.reader.pages(self.bucket, self.prefix):
            for entry in page:
                key, size = entry["Key"], entry["Size"]
                if key.endswith("/") and not size:
                    self.ignored["folder marker"] += 1
                elif not self.selection.takes(kind := suffix(key)):
                    self.ignored[kind] += 1
                elif entry.get("StorageClass") in ARCHIVED:
                    self.ignored[f"archived ({entry['StorageClass']})"] += 1
                else:
                    yield self._reference(key, entry["ETag"].strip('"'), size)

    def _reference(self, key: str, etag: str | None, size: int | None) -> Reference:
        uri = f"s3://{self.bucket}/{key}"
        identity = image_id(self.selection.image_id, key=key, uri=uri)
        return Reference(image_id=identity, uri=uri, etag=etag, size=size)

    def read(self, reference: Reference) -> Sample:
        return self.reader.read(reference)

    def close(self) -> None:
        self.reader.close()

    def holds(self, uri: str) -> bool:
        return uri.startswith(self.name)

    def exists(self, uri: str) -> bool:
        return self.reader.exists(*split_uri(uri))


def open_prefix(name: str, selection: Selection, stopping: threading.Event) -> PrefixSource:
    """Open `s3://bucket/prefix/`; see `Opener`."""
    bucket, prefix = split_uri(name)
    return PrefixSource(S3Reader(stopping), bucket, prefix, selection)
