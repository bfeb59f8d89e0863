from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
)

from submitter.errors import RefusedError, SetupError, SubmitterError, TransientError, aws_errors


def client_error(code: str, status: int = 400) -> ClientError:
    answer = {"Error": {"Code": code, "Message": "it said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(answer, "Operation")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "kind", "exit_code", "text"),
    [
        (client_error("SlowDown", 503), TransientError, 75, "try again"),
        (client_error("TooManyRequestsException", 429), TransientError, 75, "try again"),
        (client_error("Whatever", 500), TransientError, 75, "try again"),
        (EndpointConnectionError(endpoint_url="x"), TransientError, 75, "try again"),
        (client_error("AccessDenied", 403), RefusedError, 2, "permission"),
        (client_error("ClientException"), RefusedError, 2, "it said"),
        (ParamValidationError(report="the name"), RefusedError, 2, "the name"),
        (NoCredentialsError(), SetupError, 2, "no AWS credentials"),
        (NoRegionError(), SetupError, 2, "no AWS region"),
    ],
)
def test_what_aws_says_in_our_words(error: Exception, kind: type[SubmitterError], exit_code: int, text: str) -> None:
    with pytest.raises(kind, match=text) as raised, aws_errors():
        raise error
    assert type(raised.value) is kind
    assert raised.value.exit_code == exit_code
    assert "\n" not in str(raised.value)


def test_bugs_stay_what_they_are() -> None:
    with pytest.raises(ZeroDivisionError), aws_errors():
        _ = 1 / 0


def test_every_kind_has_its_codes() -> None:
    kinds = SubmitterError.__subclasses__()
    assert {kind.exit_code for kind in kinds} == {2, 75}
    assert all(400 <= kind.http_status < 600 for kind in kinds)
