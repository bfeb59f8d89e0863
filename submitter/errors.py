"""What can go wrong, each kind with its exit code and its HTTP status.

    SubmitterError
    ├── UsageError        2  400  the event, an option or an address is not what it should be
    │   ├── SettingsError 2  500  a name that the environment should give is missing
    │   └── RefusedError  2  502  AWS says no, and will say no again
    ├── OutOfTimeError    2  504  the Lambda would not have finished
    └── TransientError   75  503  throttling or the network: try again

Each of them is a user's sentence, shown without a traceback. Anything else is a bug.
"""

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
    """A user's mistake or the world's, told in a sentence."""

    exit_code = 2
    http_status = 500


class UsageError(SubmitterError):
    """What was asked cannot be done as it was asked."""

    http_status = 400


class SettingsError(UsageError):
    """The place where this runs has not been set up."""

    http_status = 500


class RefusedError(UsageError):
    """AWS refuses a request for a reason that time does not mend."""

    http_status = 502


class OutOfTimeError(SubmitterError):
    """The time that is left does not suffice; nothing was submitted."""

    http_status = 504


class TransientError(SubmitterError):
    """The same request may well succeed later."""

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
    "AccessDenied": "give the role or user that runs this the permission for it",
    "AccessDeniedException": "give the role or user that runs this the permission for it",
    "NoSuchBucket": "check the bucket's name",
    "ExpiredToken": "sign in again",
    "ResourceNotFoundException": "check the name and the region",
}


def error_code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")


def is_transient(error: Exception) -> bool:
    """Whether a call that failed like this may succeed if it is made again."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return error_code(error) in _TRANSIENT_CODES or status >= 500 or status == 429
    return isinstance(error, ConnectionError | HTTPClientError)


@contextmanager
def aws_errors() -> Iterator[None]:
    """Turn what boto3 raises inside into the tree above."""
    try:
        yield
    except (ClientError, BotoCoreError) as error:
        raise _explain(error) from error


def _explain(error: ClientError | BotoCoreError) -> SubmitterError:
    text = " ".join(str(error).split())  # some of boto3's messages have several lines
    if is_transient(error):
        return TransientError(f"AWS cannot be reached or is too busy, try again: {text}")
    if isinstance(error, NoCredentialsError):
        return SettingsError("there are no AWS credentials: run `aws configure` or set AWS_PROFILE")
    if isinstance(error, NoRegionError):
        return SettingsError("there is no AWS region: set AWS_DEFAULT_REGION, or a region in the AWS profile")
    if isinstance(error, ClientError):
        remedy = _REMEDIES.get(error_code(error))
        return RefusedError(f"AWS refuses: {text}" + (f" — {remedy}" if remedy else ""))
    return RefusedError(text)
