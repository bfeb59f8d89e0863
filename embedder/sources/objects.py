"""Objects in S3: read whole and with patience, or an error that says whose fault it is."""

from __future__ import annotations

from typing import Any

from embedder.errors import EmbedderError, ImageError
from embedder.sources import DENIED
from embedder.sources.body import Checksums, by_pieces, read_body
from embedder.sources.shortcut import Shortcut
from embedder.system import aws

CHANGED = "Changed"
"""The error of an object that is another one than at the start of its reading."""

MISSING_CODES = frozenset({"NoSuchKey", "404", "NotFound"})


class Objects:
    """Reads objects past boto3 where it can, and through boto3 otherwise."""

    def __init__(self, access: aws.S3Access) -> None:
        self.client = access.client
        self.checksums = Checksums(access.client)
        self.shortcut = Shortcut(access, self.checksums)

    def get(self, bucket: str, key: str, patience: aws.Patience) -> tuple[bytes, str]:
        """Return an object's bytes and its ETag, without quotes.

        The first attempt takes the shortcut. If that says nothing, or fails, the object is boto3's.

        Raises:
            ImageError: this object cannot be read; `transient` if it did not come in time, and perhaps none would.
            ConfigurationError: the bucket or the credentials are at fault.
        """
        untried = [self.shortcut.get]

        def attempt() -> tuple[bytes, str]:
            found = untried.pop()(bucket, key) if untried else None
            return found or self.get_once(bucket, key)

        try:
            return patience.call(attempt)
        except aws.AWS_ERRORS as error:
            raise _explain(error, bucket, key) from error

    def get_once(self, bucket: str, key: str) -> tuple[bytes, str]:
        """Return the same through boto3, in one attempt and with boto3's errors."""
        answer = self.client.get_object(Bucket=bucket, Key=key)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        if not {"etag", "content-length"} <= headers.keys():
            raise ConnectionError("the answer was cut off among its headers")
        body: Any = answer["Body"]
        with body as stream:  # urllib3's response: botocore's own waits for more than has come
            data = read_body(by_pieces(stream.read1), answer["ContentLength"])
        self.checksums.verify(headers, data)
        self.shortcut.learn(bucket, key)
        return data, answer["ETag"].strip('"')

    def get_range(self, bucket: str, key: str, offset: int, size: int, etag: str, patience: aws.Patience) -> bytes:
        """Return a part of an object that still has this ETag; raise as `get` does."""

        def attempt() -> bytes:
            asked = f"bytes={offset}-{offset + size - 1}"
            answer = self.client.get_object(Bucket=bucket, Key=key, Range=asked, IfMatch=f'"{etag}"')
            body: Any = answer["Body"]
            with body as stream:
                return read_body(by_pieces(stream.read1), size)

        try:
            return patience.call(attempt)
        except aws.AWS_ERRORS as error:
            raise _explain(error, bucket, key) from error

    def measure(self, bucket: str, key: str, patience: aws.Patience) -> tuple[int, str]:
        """Return an object's size and its ETag, without quotes; raise as `get` does."""
        try:
            answer = patience.call(self.client.head_object, Bucket=bucket, Key=key)
        except aws.AWS_ERRORS as error:
            raise _explain(error, bucket, key) from error
        return answer["ContentLength"], answer["ETag"].strip('"')

    def close(self) -> None:
        """Close idle connections. Reading again opens new ones."""
        self.shortcut.close()


def _explain(error: Exception, bucket: str, key: str) -> EmbedderError:
    code = aws.error_code(error)
    if aws.is_transient(error):
        return ImageError(code, f"could not be read in time: {error}", transient=True)
    if code in MISSING_CODES:
        return ImageError("NotFound", "there is no such object any more")
    if code in aws.DENIED_CODES:
        return ImageError(DENIED, "access denied; s3:GetObject is needed")
    if code == "InvalidObjectState":
        return ImageError("Archived", "the object is archived and has to be restored first")
    if code in ("PreconditionFailed", "412"):
        return ImageError(CHANGED, "the object was replaced while it was read; run again", transient=True)
    return aws.explain(error, f"s3://{bucket}/{key}")
