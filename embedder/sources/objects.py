"""One object's bytes: read whole, with patience, or an error that says whose fault it is."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

from embedder.errors import ConfigurationError, EmbedderError, ImageError
from embedder.sources import DENIED
from embedder.system import aws

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SLOWEST = 4096
"""Bytes a second below which the reading of an object is given up and begun again."""

MISSING_CODES = frozenset({"NoSuchKey", "404", "NotFound"})


def get_object(client: S3Client, patience: aws.Patience, bucket: str, key: str) -> tuple[bytes, str]:
    """Return an object's bytes and its ETag, without quotes.

    Raises:
        ImageError: this object cannot be read; `transient` when it did not come in time, and perhaps none would.
        ConfigurationError: the bucket or the credentials are at fault.
    """
    try:
        return patience.call(get_once, client, bucket, key)
    except aws.AWS_ERRORS as error:
        raise _explain(error, bucket, key) from error


def get_once(client: S3Client, bucket: str, key: str) -> tuple[bytes, str]:
    """The same in one attempt, with the errors of boto3."""
    answer = client.get_object(Bucket=bucket, Key=key)
    data = _body(answer["Body"], answer["ContentLength"])
    if "ETag" not in answer:
        raise ConnectionError("the answer was cut off among its headers")
    return data, answer["ETag"].strip('"')


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
    if code == "NoSuchBucket":
        return ConfigurationError(f"there is no bucket {bucket}")
    return aws.explain(error, f"s3://{bucket}/{key}")


def _body(body: Any, size: int) -> bytes:
    """Read a whole body, botocore's `StreamingBody`, as long as it comes at no less than `SLOWEST`.

    Raises:
        ConnectionError: it ends too soon.
        TimeoutError: it comes more slowly. A timeout of the socket does not see that: something always comes.
    """
    until = time.monotonic() + aws.READ_TIMEOUT + size / SLOWEST
    data = io.BytesIO()  # which hands out its bytes without copying them
    with body as stream:  # the response of urllib3, which gives what has come where botocore's would wait for more
        while part := stream.read1(1 << 20):
            data.write(part)
            if time.monotonic() > until:
                raise TimeoutError(f"fewer than {SLOWEST} bytes came in a second")
    if data.tell() != size:
        raise ConnectionError(f"the body ended after {data.tell()} of its {size} bytes")
    return data.getvalue()
