"""Clients for AWS, created on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from submitter.listing_pages import take_objects

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

CONCURRENT_REQUESTS = 8
"""Concurrent requests, and therefore connections kept open. At most this many shards are in memory."""
CONCURRENT_LISTINGS = 16
"""Concurrent requests for pages of a listing."""

# boto3's default of three attempts 50 ms apart does not outlast a second of trouble.
_PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 8},
    connect_timeout=5,
    read_timeout=20,
    max_pool_connections=CONCURRENT_REQUESTS + CONCURRENT_LISTINGS,
)
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=20)


class Services:
    """One set of clients for each Lambda invocation or command, so that no set outlives a change of the environment."""

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session()

    @cached_property
    def s3(self) -> S3Client:
        return self._session.client("s3", config=_PATIENT)

    @cached_property
    def pages(self) -> S3Client:
        """A client for listings, which parses the entries of a page in a sixth of boto3's time."""
        client = self._session.client("s3", config=_PATIENT)
        client.meta.events.register("before-parse.s3.ListObjectsV2", take_objects)
        return client

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
