"""The job definition of one kind of worker, and the role that its workers have."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import aws_batch as batch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.container_image import ContainerImage
from infra.permissions import allow
from infra.retry_rules import RETRY_STRATEGY
from infra.settings import RUNS_PREFIX, StageSettings
from infra.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a worker gets. A little less memory than its part of a machine: ECS keeps some for itself."""

    vcpus: int
    memory_mib: int
    gpus: int = 0


SIZES = {
    "cpu": Size(vcpus=2, memory_mib=7000),  # half an m6i.xlarge, which has 16 GiB
    "gpu": Size(vcpus=4, memory_mib=14000, gpus=1),  # a g4dn.xlarge, which has 16 GiB
}
SHARED_MEMORY_MIB = 1024
TEMPORARY_MIB = 1024


class JobDefinition(Construct):
    """`embedder run`, told its run and shard by whoever submits it."""

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
        size = SIZES[kind]
        needs = {"VCPU": size.vcpus, "MEMORY": size.memory_mib} | ({"GPU": size.gpus} if size.gpus else {})
        # ECS shares a machine by weights: a worker sees all of its processors, and would start a decoder for each. One
        # with a GPU has the machine for itself, and may.
        environment = {} if size.gpus else {"EMBEDDER_CORES": str(size.vcpus)}
        environment |= {f"EMBEDDER_{name.upper()}": value for name, value in settings.options.items()}
        environment["EMBEDDER_DEPLOYMENT"] = settings.stage
        # Unlike Lambda's, Batch's containers are not told where they are, and without a region boto3 refuses DynamoDB.
        environment["AWS_DEFAULT_REGION"] = group.stack.region
        properties = batch.CfnJobDefinition.ContainerPropertiesProperty(
            image=image.uri,
            command=["run"],
            job_role_arn=self.role.role_arn,
            execution_role_arn=execution.role_arn,
            resource_requirements=[
                batch.CfnJobDefinition.ResourceRequirementProperty(type=name, value=str(value))
                for name, value in needs.items()
            ],
            environment=[
                batch.CfnJobDefinition.EnvironmentProperty(name=name, value=value)
                for name, value in environment.items()
            ],
            privileged=False,
            readonly_root_filesystem=True,
            linux_parameters=batch.CfnJobDefinition.LinuxParametersProperty(
                init_process_enabled=True,  # passes SIGTERM on, and reaps decoders
                shared_memory_size=SHARED_MEMORY_MIB,
                tmpfs=[
                    batch.CfnJobDefinition.TmpfsProperty(
                        container_path="/tmp", size=TEMPORARY_MIB, mount_options=["rw", "nosuid", "nodev"]
                    )
                ],
            ),
            log_configuration=batch.CfnJobDefinition.LogConfigurationProperty(
                log_driver="awslogs",
                options={
                    "awslogs-group": group.log_group_name,
                    "awslogs-region": group.stack.region,
                    "awslogs-stream-prefix": kind,
                },
            ),
        )
        self.definition = batch.CfnJobDefinition(
            self,
            "Definition",
            type="container",
            platform_capabilities=["EC2"],
            container_properties=properties,
            retry_strategy=_retry_strategy(),
            timeout=batch.CfnJobDefinition.TimeoutProperty(attempt_duration_seconds=60 * settings.timeout_minutes),
            propagate_tags=True,
            # A run names the revision that it began with: `submitter retry` of an old run needs it.
            resource_retention_policy=batch.CfnJobDefinition.ResourceRetentionPolicyProperty(
                skip_deregister_on_update=True
            ),
        )

    def _worker_role(self, storage: Storage) -> iam.Role:
        """Reads images and runs, writes reports and failures, and uses the one table."""
        role = iam.Role(
            self,
            "Worker",
            assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"),
            description="embedder run: reads images, writes vectors and what became of them",
        )
        bucket = storage.bucket
        allow(
            role,
            "s3:GetObject",
            on=[bucket.arn_for_objects("*")],
            why="which of the bucket's objects are images is known when a run is submitted, not before",
        )
        # Without it S3 answers 403 in place of 404, and a vanished image looks like a forbidden one.
        allow(role, "s3:ListBucket", on=[bucket.bucket_arn])
        for folder in ("reports", "failures"):
            allow(
                role,
                "s3:PutObject",
                on=[bucket.arn_for_objects(f"{RUNS_PREFIX}*/{folder}/*")],
                why="a run's name and a shard's number are known when it is submitted; the folder is fixed",
            )
        allow(
            role,
            "dynamodb:DescribeTable",
            "dynamodb:BatchGetItem",
            "dynamodb:BatchWriteItem",
            "dynamodb:Scan",  # of one item, to see which model the table holds
            on=[storage.table.table_arn],
        )
        if storage.key:
            allow(role, "kms:Decrypt", "kms:GenerateDataKey", on=[storage.key.key_arn])
        return role

    def _execution_role(self, image: ContainerImage, group: logs.LogGroup) -> iam.Role:
        """Not the worker's: ECS pulls the image and writes the log with it."""
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
            allow(role, "ecr:GetAuthorizationToken", on=["*"], why="a login to ECR is for no repository in particular")
        return role


def _retry_strategy() -> batch.CfnJobDefinition.RetryStrategyProperty:
    names = {"onStatusReason": "on_status_reason", "onReason": "on_reason", "onExitCode": "on_exit_code"}
    return batch.CfnJobDefinition.RetryStrategyProperty(
        attempts=RETRY_STRATEGY["attempts"],
        evaluate_on_exit=[
            batch.CfnJobDefinition.EvaluateOnExitProperty(
                **{names.get(name, name): value for name, value in rule.items()}
            )
            for rule in RETRY_STRATEGY["evaluateOnExit"]
        ],
    )
