"""The body of an object: read whole, and checked."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping
from http.client import HTTPMessage
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from botocore import httpchecksum
from botocore.exceptions import FlexibleChecksumError

from embedder.errors import ImageError
from embedder.system import aws

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

SLOWEST = 4096
"""Bytes a second below which the reading of a body is given up."""

PIECE = 1 << 20


ReadInto: TypeAlias = Callable[[memoryview], int]
"""Puts bytes that have arrived into a buffer and returns how many; 0 at the end. Waits only if there are none."""


def read_body(read_into: ReadInto, size: int) -> bytes:
    """Read a whole body, as long as it comes at no less than `SLOWEST`.

    Raises:
        ImageError: the memory does not hold it.
        ConnectionError: it ends too soon.
        TimeoutError: it comes more slowly. A timeout of the socket does not see that: something always comes.
    """
    until = time.monotonic() + aws.READ_TIMEOUT + size / SLOWEST
    try:
        data = io.BytesIO(bytes(size))  # filled in place, and handed out without a copy
    except (MemoryError, OverflowError):
        raise ImageError("TooLarge", f"an object of {size} bytes does not fit into memory") from None
    got = 0
    with data.getbuffer() as buffer:
        while got < size and (count := read_into(buffer[got:])):
            got += count
            if time.monotonic() > until:
                raise TimeoutError(f"fewer than {SLOWEST} bytes came in a second")
    if got != size:
        raise ConnectionError(f"the body ended after {got} of its {size} bytes")
    return data.getvalue()


def by_pieces(read1: Callable[[int], bytes]) -> ReadInto:
    """Return a `ReadInto` for a stream that has only `read1`."""

    def read_into(buffer: memoryview) -> int:
        piece = read1(min(len(buffer), PIECE))
        buffer[: len(piece)] = piece
        return len(piece)

    return read_into


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
