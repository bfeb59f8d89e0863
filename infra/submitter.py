"""The Lambda functions that turn events into runs and their jobs: the folder submitter/ as it stands."""

from __future__ import annotations

from pathlib import Path

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.lambda_function import LambdaFunction
from infra.permissions import allow
from infra.settings import StageSettings
from infra.storage import Storage
from infra.worker_kind import WorkerKind

TIMEOUT = Duration.seconds(900)
"""The longest that Lambda allows: listing ten million images takes minutes."""
UPLOADS_TIMEOUT = Duration.seconds(60)
"""For a batch of notifications, which lists nothing. A failed batch is invisible for six times as long."""
MEMORY_MIB = 1769
"""From here on a function has a whole vCPU, which parses S3's XML."""


class Submitter(LambdaFunction):
    """Lists images, writes runs, and submits to one queue with one job definition."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        settings: StageSettings,
        storage: Storage,
        workers: WorkerKind,
        timeout: Duration = TIMEOUT,
    ) -> None:
        super().__init__(
            scope,
            name,
            settings,
            package=Path(__file__).parents[1] / "submitter",
            handler="submitter.handler.handler",
            description="The submitter: a run and its Batch jobs from folders or uploads of the bucket",
            memory_mib=MEMORY_MIB,
            timeout=timeout,
            environment={
                "S3_BUCKET_NAME": storage.bucket.bucket_name,
                "DYNAMODB_TABLE_NAME": storage.table.table_name,
                "BATCH_JOB_QUEUE": workers.queue,
                "BATCH_JOB_DEFINITION": workers.definition,
            },
        )
        _allow_submitting(self.role, settings, storage, workers)

    def report_to(self, topic: sns.Topic) -> None:
        """Mail the outcome of asynchronous invocations, whose caller gets no answer."""
        target = lambda_.CfnEventInvokeConfig.OnSuccessProperty(destination=topic.topic_arn)
        failed = lambda_.CfnEventInvokeConfig.OnFailureProperty(destination=topic.topic_arn)
        lambda_.CfnEventInvokeConfig(
            self,
            "Outcome",
            function_name=self.function.function_name,
            qualifier="$LATEST",
            destination_config=lambda_.CfnEventInvokeConfig.DestinationConfigProperty(
                on_success=target, on_failure=failed
            ),
        )
        allow(self.role, "sns:Publish", on=[topic.topic_arn])


def _allow_submitting(role: iam.Role, settings: StageSettings, storage: Storage, workers: WorkerKind) -> None:
    allow(role, "s3:ListBucket", on=[storage.bucket.bucket_arn])
    allow(
        role,
        "s3:GetObject",
        "s3:PutObject",
        on=[storage.runs],
        why="a run is named after the request for it; nothing outside the runs is read or written",
    )
    allow(role, "dynamodb:DescribeTable", on=[storage.table.table_arn])
    allow(role, "batch:SubmitJob", on=[workers.queue, workers.definition])
    allow(role, "batch:ListJobs", on=["*"], why="AWS knows no narrower permission for it")
    if settings.inventory:
        place = settings.inventory.removeprefix("s3://")
        reason = "an inventory consists of many files, which S3 names"
        allow(role, "s3:GetObject", on=[f"arn:{Stack.of(role).partition}:s3:::{place}*"], why=reason)
    if storage.key:
        allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[storage.key.key_arn])
