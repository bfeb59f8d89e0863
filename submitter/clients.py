"""The connections to AWS, made when they are first used."""

from functools import cached_property
from typing import TYPE_CHECKING

import boto3
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

IN_FLIGHT = 8
"""Requests under way at once, and so connections kept. Memory is this many shards at most."""

# boto3's own three attempts with 50 ms between them do not outlast a second of trouble.
_PATIENT = Config(
    retries={"mode": "standard", "total_max_attempts": 8},
    connect_timeout=5,
    read_timeout=20,
    max_pool_connections=2 * IN_FLIGHT,
)
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=5, read_timeout=20)


class Services:
    """One set for each Lambda invocation or command: nothing outlives a change of the environment."""

    @cached_property
    def _session(self) -> boto3.Session:
        return boto3.Session(botocore_session=self._core)

    @cached_property
    def _core(self) -> botocore.session.Session:
        return botocore.session.get_session()

    @cached_property
    def s3(self) -> "S3Client":
        return self._session.client("s3", config=_PATIENT)

    @cached_property
    def pages(self) -> "S3Client":
        """For listing images: leaves timestamps as text, which halves the CPU time of a page."""
        session = botocore.session.get_session()
        session.register_component("data_loader", self._core.get_component("data_loader"))  # reads files once
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
        return boto3.Session(botocore_session=session).client("s3", config=_PATIENT)

    @cached_property
    def batch(self) -> "BatchClient":
        return self._session.client("batch", config=_PATIENT)

    @cached_property
    def submitting(self) -> "BatchClient":
        """For SubmitJob, which must not be repeated blindly: see `jobs.py`."""
        return self._session.client("batch", config=_ONCE)

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        return self._session.client("dynamodb", config=_PATIENT)
