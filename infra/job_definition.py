"""The job definition of one kind of worker, and the role of its workers."""

from __future__ import annotations

from aws_cdk import aws_batch as batch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.container_image import ContainerImage
from infra.permissions import allow
from infra.retry_rules import RETRY_STRATEGY
from infra.settings import StageSettings
from infra.settings_checks import RUNS_PREFIX
from infra.storage import Storage
from infra.worker_container import container_properties


class JobDefinition(Construct):
    """Runs `embedder run`; the submitter adds the run and the shard."""

    def __init__(
        self,
        scope: Construct,
        settings: StageSettings,
        kind: str,
        storage: Storage,
        image: ContainerImage,
        group: logs.LogGroup,
    ) -> None:
        super().__init__(scope, "Job")
        self.role = self._worker_role(storage)
        execution = self._execution_role(image, group)
        variables = {f"EMBEDDER_{name.upper()}": value for name, value in settings.options.items()}
        if settings.vector_index:
            variables["EMBEDDER_INDEX"] = "true"
        variables["EMBEDDER_DEPLOYMENT"] = settings.stage
        properties = container_properties(kind, group.stack.region, variables) | {
            "image": image.uri,
            "jobRoleArn": self.role.role_arn,
            "executionRoleArn": execution.role_arn,
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": group.log_group_name,
                    "awslogs-region": group.stack.region,
                    "awslogs-stream-prefix": kind,
                },
            },
        }
        self.definition = batch.CfnJobDefinition(
            self,
            "Definition",
            type="container",
            platform_capabilities=["EC2"],
            container_properties=properties,
            retry_strategy=dict(RETRY_STRATEGY),
            timeout=batch.CfnJobDefinition.TimeoutProperty(attempt_duration_seconds=60 * settings.timeout_minutes),
            propagate_tags=True,
            # A run names the revision that it was submitted with, and `submitter retry` of an old run needs it.
            resource_retention_policy=batch.CfnJobDefinition.ResourceRetentionPolicyProperty(
                skip_deregister_on_update=True
            ),
        )

    def _worker_role(self, storage: Storage) -> iam.Role:
        """Return the workers' role: it reads images and runs, writes reports and failures, and uses one table."""
        role = iam.Role(
            self,
            "Worker",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            description="embedder run: reads images, writes vectors and reports",
        )
        bucket = storage.bucket
        allow(
            role,
            "s3:GetObject",
            on=[bucket.arn_for_objects("*")],
            why="which objects are images is known only when a run is submitted",
        )
        # Without it S3 answers 403 instead of 404, and a deleted image looks like a forbidden one.
        allow(role, "s3:ListBucket", on=[bucket.bucket_arn])
        for other in storage.read_buckets:
            allow(role, "s3:GetObject", on=[f"{other}/*"], why="a table of addresses says which objects are images")
            allow(role, "s3:ListBucket", on=[other])
        for folder in ("reports", "failures"):
            allow(
                role,
                "s3:PutObject",
                on=[bucket.arn_for_objects(f"{RUNS_PREFIX}*/{folder}/*")],
                why="the names of runs and shards are known only when a run is submitted; the folder is fixed",
            )
        allow(
            role,
            "dynamodb:DescribeTable",
            "dynamodb:BatchGetItem",
            "dynamodb:BatchWriteItem",
            "dynamodb:Scan",  # of one item, to see the model behind the table's vectors
            on=[storage.table.table_arn],
        )
        if storage.key:
            allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[storage.key.key_arn])
        return role

    def _execution_role(self, image: ContainerImage, group: logs.LogGroup) -> iam.Role:
        """Return the role with which ECS pulls the image and writes the log; the worker does not have it."""
        role = iam.Role(
            self,
            "Execution",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            description="ECS, on behalf of a worker: its image and its log",
        )
        group.grant_write(role)
        if image.repository:
            allow(
                role,
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:BatchGetImage",
                on=[image.repository.repository_arn],
            )
            allow(role, "ecr:GetAuthorizationToken", on=["*"], why="a login to ECR is not for a particular repository")
        return role
