"""Clients for AWS, created on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

CONCURRENT_REQUESTS = 8
"""Concurrent requests, and therefore connections kept open. At most this many shards are in memory."""

# boto3's default of three attempts 50 ms apart does not outlast a second of trouble.
_PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 8},
    connect_timeout=5,
    read_timeout=20,
    max_pool_connections=2 * CONCURRENT_REQUESTS,
)
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=20)


class Services:
    """One set of clients for each Lambda invocation or command, so that no set outlives a change of the environment."""

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(botocore_session=self._core)

    @cached_property
    def _core(self) -> botocore.session.Session:
        return botocore.session.get_session()

    @cached_property
    def s3(self) -> S3Client:
        return self._session.client("s3", config=_PATIENT)

    @cached_property
    def pages(self) -> S3Client:
        """A client for listings that leaves timestamps as text: parsing one a key takes most of a page's CPU time."""
        session = botocore.session.get_session()
        session.register_component("data_loader", self._core.get_component("data_loader"))  # reads its files only once
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
        return boto3.Session(botocore_session=session).client("s3", config=_PATIENT)

    @cached_property
    def batch(self) -> BatchClient:
        return self._session.client("batch", config=_PATIENT)

    @cached_property
    def submitting(self) -> BatchClient:
        """A client for SubmitJob without retries: `jobs.py` must look for the job before it repeats a request."""
        return self._session.client("batch", config=_ONCE)

    @cached_property
    def dynamodb(self) -> DynamoDBClient:
        return self._session.client("dynamodb", config=_PATIENT)
