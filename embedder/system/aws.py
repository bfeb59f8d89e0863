"""AWS clients, the one retry policy, and what their errors mean.

botocore's own retries are off: three attempts 50 ms apart do not outlast an outage of a second, a connection that is
cut inside a body is never retried, and two layers of retries multiply. `Patience` is the one policy: it repeats a
call, with the reading of its body, after growing random waits, until its time is over.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
import tenacity
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ResponseStreamingError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.httpsession import get_cert_path
from botocore.parsers import ResponseParserError
from botocore.utils import get_environ_proxies, parse_timestamp
from urllib3.exceptions import HTTPError

from embedder.errors import ConfigurationError, EmbedderError, TransientError

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from botocore.model import OperationModel
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

P = ParamSpec("P")
R = TypeVar("R")

PATIENCE_SECONDS = 90.0
"""How long one request is repeated. That outlasts an outage of 30 seconds with room to spare."""

START_PATIENCE_SECONDS = 15.0
"""How long the first request is repeated, while somebody may be waiting who mistyped an endpoint."""

CONNECT_TIMEOUT = 3
READ_TIMEOUT = 15
"""Seconds without a byte. botocore's 60 would spend most of the patience on one black hole."""

ANSWER_TIMEOUT = 6
"""Seconds without a byte from DynamoDB, which answers in milliseconds. A worker that is told to stop has ten seconds,
and a write that hangs must not take them all."""

TRANSIENT_CODES = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "PriorRequestNotComplete",
        "InternalError",
        "InternalServerError",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "RequestTimeTooSkewed",
    }
)

CREDENTIAL_CODES = frozenset(
    {
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "ExpiredToken",
        "ExpiredTokenException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
    }
)

AWS_ERRORS = (BotoCoreError, ClientError, ResponseParserError, HTTPError, ConnectionError, TimeoutError)
"""Everything that a call, or the reading of a body, raises for reasons outside this program."""

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "403", "Forbidden"})


def _config(connections: int, read_timeout: int, *, validate: bool = True) -> Config:
    return Config(
        parameter_validation=validate,
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=connections,
        tcp_keepalive=True,
    )


@dataclass(frozen=True, slots=True)
class S3Access:
    """A client of S3, and what a request to S3 needs that does not go through it."""

    client: S3Client
    credentials: Credentials | None
    """The client's own, renewed by whoever needs them first; None for a client that does not sign."""
    certificates: str
    """The file of certificates that the client trusts."""
    by_proxy: bool
    """Whether the client reaches S3 through a proxy."""


def s3_access(connections: int, read_timeout: int = READ_TIMEOUT) -> S3Access:
    """Open S3 with boto3's own endpoint, region and credentials.

    Args:
        connections: requests at once.
    """
    with sentences("S3"):
        session = botocore.session.get_session({"requests_ca_bundle": (None, "REQUESTS_CA_BUNDLE", None, None)})
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=parse_time)
        client = boto3.session.Session(botocore_session=session).client("s3", config=_config(connections, read_timeout))
        client.meta.events.register("before-parse", _refuse_cut_answer)
        trusted: Any = session.get_config_variable("ca_bundle") or session.get_config_variable("requests_ca_bundle")
        endpoint = client.meta.endpoint_url
        return S3Access(
            client,
            credentials=session.get_credentials(),
            certificates=str(get_cert_path(trusted or True)),
            by_proxy=urlsplit(endpoint).scheme in get_environ_proxies(endpoint),
        )


def s3_client(connections: int, read_timeout: int = READ_TIMEOUT) -> S3Client:
    """Return a client whose endpoint, region and credentials are boto3's own."""
    return s3_access(connections, read_timeout).client


def parse_time(value: Any) -> datetime:
    """Parse a time as botocore does, but 70 times as fast if it has the form that listings give for every object."""
    if isinstance(value, str) and value.endswith("Z"):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass  # another form that ends in the same letter
    return parse_timestamp(value)


def dynamodb_client(connections: int) -> DynamoDBClient:
    """Return a client whose endpoint, region and credentials are boto3's own.

    botocore does not check what it sends: that is a quarter of the CPU time of a write, and DynamoDB checks it as well.
    """
    with sentences("DynamoDB"):
        config = _config(connections, ANSWER_TIMEOUT, validate=False)
        client = boto3.session.Session().client("dynamodb", config=config)
        client.meta.events.register("before-parse", _refuse_cut_answer)
        return client


def _refuse_cut_answer(operation_model: OperationModel, response_dict: dict[str, Any], **_: object) -> None:
    """Raise ConnectionError for an answer that is not whole.

    If a connection ends among the headers, Python's HTTP client takes those that arrived for all of them and the body
    for empty. botocore takes an empty body for an answer without fields: a batch of which nothing is unprocessed.
    """
    headers = response_dict["headers"]
    has_body = response_dict["status_code"] != 204 and operation_model.http["method"] != "HEAD"
    if has_body and not {"content-length", "transfer-encoding"} & {name.lower() for name in headers}:
        raise ConnectionError("the answer was cut off among its headers")
    checksum = headers.get("x-amz-crc32")  # DynamoDB's
    if checksum is not None and zlib.crc32(response_dict["body"]) != int(checksum):
        raise ConnectionError("the answer was damaged on its way: its CRC32 differs")


def sts_client() -> Any:
    """Return a client that can say to whom the credentials belong."""
    with sentences("STS"):
        return boto3.session.Session().client("sts", config=_config(1, ANSWER_TIMEOUT))


def s3vectors_client() -> Any:
    """Return a client of Amazon S3 Vectors whose endpoint, region and credentials are boto3's own."""
    with sentences("S3 Vectors"):
        return boto3.session.Session().client("s3vectors", config=_config(1, READ_TIMEOUT))


def error_code(error: Exception) -> str:
    """Return the service's code of an error, or the exception's name."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "Unknown"))
    return type(error).__name__


def is_transient(error: BaseException) -> bool:
    """Say whether the same request may succeed later."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status >= 500 or status == 429 or error_code(error) in TRANSIENT_CODES
    return isinstance(
        error,
        TransientError
        | BotoConnectionError
        | HTTPClientError
        | ResponseStreamingError
        | IncompleteReadError
        | ResponseParserError  # something other than the service answered
        | HTTPError  # raised while a body is read
        | ConnectionError
        | TimeoutError,
    )


class Patience:
    """Repeats a call while it fails for a passing reason.

    Args:
        stopping: set when the process should end. Waiting ends at once, and the last error is raised.
        seconds: how long calls are repeated.
    """

    def __init__(self, stopping: threading.Event, seconds: float = PATIENCE_SECONDS) -> None:
        self.stopping = stopping
        self.seconds = seconds
        self.retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_transient),
            stop=tenacity.stop_any(tenacity.stop_before_delay(seconds), tenacity.stop_when_event_set(stopping)),
            wait=tenacity.wait_random_exponential(multiplier=0.1, max=8),
            sleep=tenacity.sleep_using_event(stopping),
            reraise=True,
        )

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the function returns, or raise its last error."""
        return self.retrying(function, *args, **kwargs)


@contextmanager
def sentences(what: str) -> Iterator[None]:
    """Turn AWS errors into ours, as sentences about `what`."""
    try:
        yield
    except AWS_ERRORS as error:
        raise explain(error, what) from error


def explain(error: Exception, what: str) -> EmbedderError:
    """Return an error of ours: a sentence about `what`, in the class that says whether to try again."""
    code = error_code(error)
    if is_transient(error):
        return TransientError(f"{what} did not answer: {code}: {error}; try again")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return ConfigurationError(
            f"{what} needs AWS credentials and none were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or run where a role provides them"
        )
    if isinstance(error, NoRegionError):
        return ConfigurationError(f"{what} needs an AWS region; set AWS_DEFAULT_REGION")
    if code == "NoSuchBucket":
        bucket = what.removeprefix("s3://").partition("/")[0]
        return ConfigurationError(f"there is no bucket {bucket}; check the name and the account")
    if code in CREDENTIAL_CODES:
        return ConfigurationError(
            f"{what} does not accept these AWS credentials: {code}: {error}; check the keys, or AWS_PROFILE"
        )
    if code in DENIED_CODES:
        return ConfigurationError(f"{what}: access denied ({error}); check the role's or user's permissions")
    return ConfigurationError(f"{what} cannot be used: {code}: {error}")
