"""An AWS account between which and its callers stand proxies that can spoil any request."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from submitter.config import VARIABLES
from tests.parts import fault_proxy
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import Choice, FaultProxy
from tests.parts.s3 import S3
from tests.submitter.cloud import Account, Cloud, make_account, make_cloud


@dataclass(frozen=True, slots=True)
class SpoiltAccount:
    """The account that this process's environment names."""

    account: Account
    patch: pytest.MonkeyPatch
    others: FaultProxy
    """Stands before S3, Batch and all services but DynamoDB."""
    tables: FaultProxy

    def cloud(self) -> Cloud:
        """Make a new bucket, queue, job definition and table, and name them in the environment."""
        cloud = make_cloud(self.account, f"c{uuid.uuid4().hex[:12]}")
        for name, variable in VARIABLES.items():
            self.patch.setenv(variable, getattr(cloud.targets, name))
        return cloud

    @contextmanager
    def spoiling(self, others: Choice, tables: Choice) -> Iterator[None]:
        """Spoil requests within this block, as the two choices say."""
        self.others.choose, self.tables.choose = others, tables
        try:
            yield
        finally:
            self.others.choose = self.tables.choose = fault_proxy.well


@contextmanager
def spoilt_account_of(s3: S3, dynamodb: DynamoDB, patch: pytest.MonkeyPatch) -> Iterator[SpoiltAccount]:
    """Open an account in moto's server and DynamoDB Local."""
    with fault_proxy.before(s3.endpoint) as others, fault_proxy.before(dynamodb.endpoint) as tables:
        for name, value in dynamodb.environment().items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", others.endpoint)
        patch.setenv("AWS_ENDPOINT_URL_DYNAMODB", tables.endpoint)
        yield SpoiltAccount(make_account(), patch, others, tables)
