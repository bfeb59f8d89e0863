"""The Lambda that turns an event into a run and its jobs: the folder submitter/ as it stands."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.lambda_function import LambdaFunction
from infra.permissions import allow
from infra.settings import StageSettings
from infra.storage import Storage
from infra.worker_kind import WorkerKind

TIMEOUT = Duration.seconds(900)
"""The most there is: listing a million images takes minutes."""
MEMORY_MIB = 1769
"""From here on a Lambda has a whole vCPU, which reads S3's XML."""


class Submitter(LambdaFunction):
    """Lists images, writes runs, and submits to that queue with that definition."""

    def __init__(self, scope: Construct, settings: StageSettings, storage: Storage, workers: WorkerKind) -> None:
        super().__init__(
            scope,
            "Submitter",
            settings,
            package=Path(__file__).parents[1] / "submitter",
            handler="submitter.handler.handler",
            description="The submitter: a run and its Batch jobs from folders of the bucket",
            memory_mib=MEMORY_MIB,
            timeout=TIMEOUT,
            environment={
                "S3_BUCKET_NAME": storage.bucket.bucket_name,
                "DYNAMODB_TABLE_NAME": storage.table.table_name,
                "BATCH_JOB_QUEUE": workers.queue,
                "BATCH_JOB_DEFINITION": workers.definition,
            },
        )
        _allow_submitting(self.role, settings, storage, workers)


def _allow_submitting(role: iam.Role, settings: StageSettings, storage: Storage, workers: WorkerKind) -> None:
    allow(role, "s3:ListBucket", on=[storage.bucket.bucket_arn])
    allow(
        role,
        "s3:GetObject",
        "s3:PutObject",
        on=[storage.runs],
        why="a run's name comes from the request that asks for it; nothing outside of the runs is touched",
    )
    allow(role, "batch:SubmitJob", on=[workers.queue, workers.definition])
    allow(role, "batch:ListJobs", on=["*"], why="AWS knows no narrower permission for it")
    if settings.inventory:
        place = settings.inventory.removeprefix("s3://")
        reason = "an inventory is many files, with names of S3's own making"
        allow(role, "s3:GetObject", on=[f"arn:{Stack.of(role).partition}:s3:::{place}*"], why=reason)
    if storage.key:
        allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[storage.key.key_arn])
