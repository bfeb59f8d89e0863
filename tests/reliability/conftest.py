"""The worker's fixtures, for what these tests do to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.embedder.conftest import (  # noqa: F401
    bucket,
    encoder,
    impatient,
    moto_bucket,
    prepared_models,
    store_name,
    table,
    use_environment,
)
from tests.parts.dynamodb import DynamoDB
from tests.parts.s3 import S3
from tests.reliability.accounts import SpoiltAccount, spoilt_account_of


@pytest.fixture
def spoilt_account(s3_moto: S3, dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch) -> Iterator[SpoiltAccount]:
    with spoilt_account_of(s3_moto, dynamodb, monkeypatch) as account:
        yield account
