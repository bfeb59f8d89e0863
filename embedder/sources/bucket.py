"""Images in S3: an object by its key, and everything below a prefix."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from embedder import aws
from embedder.config import RunOptions
from embedder.errors import ConfigurationError, ImageError
from embedder.records import Failure, Reference, Sample
from embedder.sources import DENIED, S3_SCHEME
from embedder.sources.naming import image_id, suffix, unique_stems

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

READERS = 16
"""GetObject calls at once: enough to hide 50 ms of latency from a CPU worker many times over."""

SLOWEST = 4096
"""Bytes a second below which the reading of an object is given up and begun again."""

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
DENIED_LIMIT = 20
"""So many images denied, and none read, is a matter of permissions and not of images."""

MISSING_CODES = frozenset({"NoSuchKey", "404", "NotFound"})


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
    """Reads objects, with patience, and tells one bad object from a broken network.

    Args:
        stopping: when set, waiting for a broken network ends.
    """

    def __init__(self, stopping: threading.Event) -> None:
        self.client = aws.s3_client(READERS)
        self.patience = aws.Patience(stopping)
        self.start_patience = aws.Patience(stopping, aws.START_PATIENCE_SECONDS)
        self.last_success = 0.0
        self.denied = 0

    def object(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Return an object's bytes and its ETag, without quotes.

        Raises:
            ImageError: this object cannot be read; others can.
            TransientError: no object has been read since we began to try.
            ConfigurationError: the bucket or the credentials are at fault.
        """
        began = time.monotonic()
        try:
            found = self.patience.call(self._get, bucket, key)
        except aws.AWS_ERRORS as error:
            raise self._explain(error, bucket, key, began) from error
        self.last_success = time.monotonic()
        return found

    def _get(self, bucket: str, key: str) -> tuple[bytes, str]:
        answer = self.client.get_object(Bucket=bucket, Key=key)
        data = _body(answer["Body"], answer["ContentLength"])
        if "ETag" not in answer:
            raise ConnectionError("the answer was cut off among its headers")
        return data, answer["ETag"].strip('"')

    def _explain(self, error: Exception, bucket: str, key: str, began: float) -> Exception:
        code = aws.error_code(error)
        if aws.is_transient(error):
            if self.last_success < began:
                return aws.explain(error, f"s3://{bucket}")
            return ImageError(code, f"could not be read in time: {error}", transient=True)
        if code in MISSING_CODES:
            return ImageError("NotFound", "there is no such object any more")
        if code in aws.DENIED_CODES:
            self.denied += 1
            if self.denied >= DENIED_LIMIT and not self.last_success:
                return ConfigurationError(
                    f"access denied to the first {self.denied} images of s3://{bucket}; s3:GetObject is needed"
                )
            return ImageError(DENIED, "access denied; s3:GetObject is needed")
        if code == "InvalidObjectState":
            return ImageError("Archived", "the object is archived and has to be restored first")
        if code == "NoSuchBucket":
            return ConfigurationError(f"there is no bucket {bucket}")
        return aws.explain(error, f"s3://{bucket}/{key}")

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
                return self.start_patience.call(self._get, bucket, key)[0]
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


def _body(body: Any, size: int) -> bytes:
    """Read a whole body, botocore's `StreamingBody`, as long as it comes at no less than `SLOWEST`.

    Raises:
        ConnectionError: it ends too soon.
        TimeoutError: it comes more slowly. A timeout of the socket does not see that: something always comes.
    """
    until = time.monotonic() + aws.READ_TIMEOUT + size / SLOWEST
    data = bytearray()
    with body as stream:  # the response of urllib3, which gives what has come where botocore's would wait for more
        while part := stream.read1(1 << 20):
            data += part
            if time.monotonic() > until:
                raise TimeoutError(f"fewer than {SLOWEST} bytes came in a second")
    if len(data) != size:
        raise ConnectionError(f"the body ended after {len(data)} of its {size} bytes")
    return bytes(data)


class PrefixSource:
    """The images below an S3 prefix, listed as they are needed; see `Source`.

    A prefix names a folder: `s3://b/images` means `images/…` (or the one object `images`, if that is
    what there is) and never `images-old/…`.
    """

    readers = READERS
    remote = True

    def __init__(self, reader: S3Reader, bucket: str, prefix: str, options: RunOptions) -> None:
        self.reader = reader
        self.bucket = bucket
        self.options = options
        self.single = bool(prefix) and not prefix.endswith("/") and reader.exists(bucket, prefix, at_start=True)
        self.prefix = prefix if self.single or not prefix or prefix.endswith("/") else f"{prefix}/"
        self.name = f"s3://{bucket}/{self.prefix}"
        self.suffixes = {f".{each}" for each in options.suffixes}
        self.ignored: Counter[str] = Counter()
        self.total: int | None = 1 if self.single else None

    def references(self) -> Iterator[Reference | Failure]:
        if self.single:
            return iter([self._reference(self.prefix, None, None)])
        found = self._list()
        return unique_stems(found) if self.options.image_id == "stem" else found

    def _list(self) -> Iterator[Reference | Failure]:
        for page in self.reader.pages(self.bucket, self.prefix):
            for entry in page:
                key, size = entry["Key"], entry["Size"]
                if key.endswith("/") and not size:
                    self.ignored["folder marker"] += 1
                elif (kind := suffix(key)) not in self.suffixes:
                    self.ignored[kind] += 1
                elif entry.get("StorageClass") in ARCHIVED:
                    self.ignored[f"archived ({entry['StorageClass']})"] += 1
                else:
                    yield self._reference(key, entry["ETag"].strip('"'), size)

    def _reference(self, key: str, etag: str | None, size: int | None) -> Reference:
        uri = f"s3://{self.bucket}/{key}"
        identity = image_id(self.options.image_id, key=key, uri=uri)
        return Reference(image_id=identity, uri=uri, etag=etag, size=size)

    def read(self, reference: Reference) -> Sample:
        return read_object(self.reader, reference)

    def holds(self, uri: str) -> bool:
        return uri.startswith(self.name)

    def exists(self, uri: str) -> bool:
        return self.reader.exists(*split_uri(uri))


def read_object(reader: S3Reader, reference: Reference) -> Sample:
    """Read a reference's object; its ETag becomes the one of the bytes that were read."""
    data, etag = reader.object(*split_uri(reference.uri))
    return Sample(reference=replace(reference, etag=etag, size=len(data)), data=data)
