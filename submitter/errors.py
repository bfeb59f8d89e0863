"""The errors of this package, each kind with its exit code and HTTP status.

    SubmitterError
    ├── UsageError        2  400  the event, an option or an address is wrong
    │   ├── SetupError    2  500  the environment lacks a name, credentials or a region
    │   └── RefusedError  2  502  AWS refuses the request and would refuse it again
    ├── OutOfTimeError    2  504  the Lambda's time does not suffice
    └── TransientError   75  503  throttling or a network error: try again

The message of each is a sentence for the user and is shown without a traceback. Any other exception is a bug.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
)


class SubmitterError(Exception):
    """An error that is explained to the user in a sentence."""

    exit_code = 2
    http_status = 500


class UsageError(SubmitterError):
    """The request cannot be carried out as given."""

    http_status = 400


class SetupError(UsageError):
    """The environment of this program is incomplete."""

    http_status = 500


class RefusedError(UsageError):
    """AWS refuses a request for a reason that waiting does not remove."""

    http_status = 502


class OutOfTimeError(SubmitterError):
    """The remaining time does not suffice; nothing was submitted."""

    http_status = 504


class TransientError(SubmitterError):
    """The same request may succeed later."""

    exit_code = 75
    http_status = 503


_TRANSIENT_CODES = frozenset(
    {
        "ConditionalRequestConflict",
        "InternalError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServerException",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

_REMEDIES = {
    "AccessDenied": "grant the permission to the role or user that runs this",
    "AccessDeniedException": "grant the permission to the role or user that runs this",
    "NoSuchBucket": "check the name of the bucket",
    "403": "grant the permission to the role or user that runs this",  # the answers to HeadBucket have no other code
    "404": "check the name of the bucket",
    "ExpiredToken": "sign in again",
    "ResourceNotFoundException": "check the name and the region",
}


def error_code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def is_transient(error: Exception) -> bool:
    """Tell whether the call may succeed if it is repeated."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in _TRANSIENT_CODES or status >= 500 or status == 429
    return isinstance(error, ConnectionError | HTTPClientError)


@contextmanager
def aws_errors() -> Iterator[None]:
    """Turn boto3's exceptions inside the block into those of this module."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _explain(error) from error


def _explain(error: ClientError | BotoCoreError) -> SubmitterError:
    text = " ".join(str(error).split())  # some of boto3's messages span several lines
    if is_transient(error):
        return TransientError(f"AWS cannot be reached or is too busy; try again: {text}")
    if isinstance(error, NoCredentialsError):
        return SetupError("there are no AWS credentials: run `aws configure` or set AWS_PROFILE")
    if isinstance(error, NoRegionError):
        return SetupError("there is no AWS region: set AWS_DEFAULT_REGION, or a region in the AWS profile")
    if isinstance(error, ClientError):
        remedy = _REMEDIES.get(error_code(error))
        return RefusedError(f"AWS refuses: {text}" + (f" — {remedy}" if remedy else ""))
    return RefusedError(text)
