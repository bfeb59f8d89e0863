"""The body of an object: read whole, and checked."""

from __future__ import annotations

import io
import time
from collections.abc import Mapping
from http.client import HTTPMessage
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore import httpchecksum
from botocore.exceptions import FlexibleChecksumError

from embedder.system import aws

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SLOWEST = 4096
"""Bytes a second below which the reading of a body is given up."""


def read_body(body: Any, size: int) -> bytes:
    """Read a whole body, as long as it comes at no less than `SLOWEST`.

    Args:
        body: botocore's `StreamingBody`, or the standard library's `HTTPResponse`.

    Raises:
        ConnectionError: it ends too soon.
        TimeoutError: it comes more slowly. A timeout of the socket does not see that: something always comes.
    """
    until = time.monotonic() + aws.READ_TIMEOUT + size / SLOWEST
    data = io.BytesIO()  # hands out its bytes without copying them
    with body as stream:  # of a `StreamingBody` the response inside, whose `read1` does not wait for more than there is
        while part := stream.read1(1 << 20):
            data.write(part)
            if time.monotonic() > until:
                raise TimeoutError(f"fewer than {SLOWEST} bytes came in a second")
    if data.tell() != size:
        raise ConnectionError(f"the body ended after {data.tell()} of its {size} bytes")
    return data.getvalue()


class Checksums:
    """Compares bodies with the checksums that S3 sends, by botocore's own rules.

    botocore knows CRC32 and SHA; with the extra `boto3[crt]` installed, also S3's newer ones.
    """

    def __init__(self, client: S3Client) -> None:
        self.operation: Any = client.meta.service_model.operation_model("GetObject")
        self.context: dict[str, Any] = {}
        config: Any = client.meta.config
        asked = config.response_checksum_validation == "when_supported"
        mode = {"ChecksumMode": "ENABLED"} if asked else {}
        httpchecksum.resolve_response_checksum_algorithms({"context": self.context}, self.operation, mode)

    def verify(self, headers: Mapping[str, str] | HTTPMessage, data: bytes) -> None:
        """Compare the bytes with the checksum in the answer's headers, if it was asked for and is there.

        Raises:
            ConnectionError: they differ.
        """
        answer: dict[str, Any] = {"headers": headers, "context": {}}
        body: Any = SimpleNamespace(raw=io.BytesIO(data))
        httpchecksum.handle_checksum_body(body, answer, self.context, self.operation)
        if "body" in answer:
            try:
                answer["body"].read()  # compares at its end
            except FlexibleChecksumError as error:
                raise ConnectionError(f"the body was damaged on its way: {error}") from error
