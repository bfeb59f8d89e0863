"""The machines of one kind of worker: Spot first, on demand behind it, and the queue in front of both."""

from __future__ import annotations

from aws_cdk import Fn
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.network import Network
from infra.permissions import accept
from infra.settings import StageSettings

_AMI = {"cpu": "ECS_AL2023", "gpu": "ECS_AL2023_NVIDIA"}
_DISK_GIB = {"cpu": 50, "gpu": 100}
"""The container's image twice, packed and unpacked, and what the system needs: torch with CUDA is large."""

_USER_DATA = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="==EMBEDDER=="

--==EMBEDDER==
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/bash
# A Spot instance that is about to be reclaimed takes no new worker, and tells its own to stop.
echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config
# Batch's containers are on the machine's own network, where no hop limit keeps them from its credentials. ECS's agent
# is root, and a worker is not; a worker's own credentials come from another address.
iptables --wait --insert OUTPUT --destination 169.254.169.254 --match owner ! --uid-owner root --jump REJECT

--==EMBEDDER==--
"""


MOST_UPDATE_MINUTES = 360
"""So long may Batch be made to wait for a machine's workers before it replaces the machine."""


class Machines(Construct):
    """No machine runs, and nothing costs, while no job waits."""

    def __init__(self, scope: Construct, settings: StageSettings, kind: str, network: Network) -> None:
        super().__init__(scope, "Machines")
        self.kind = kind
        self.template = self._template()
        self.profile = iam.CfnInstanceProfile(self, "Profile", roles=[self._instance_role().role_name])
        limits = {"Spot": settings.spot_vcpus, "OnDemand": settings.on_demand_vcpus}
        environments = [self._environment(name, limit, settings, network) for name, limit in limits.items() if limit]
        self.queue = batch.CfnJobQueue(
            self,
            "Queue",
            priority=1,
            state="ENABLED",
            compute_environment_order=[
                batch.CfnJobQueue.ComputeEnvironmentOrderProperty(
                    order=order, compute_environment=environment.attr_compute_environment_arn
                )
                for order, environment in enumerate(environments, start=1)
            ],
        )

    def _environment(
        self, name: str, limit: int, settings: StageSettings, network: Network
    ) -> batch.CfnComputeEnvironment:
        """Machines to be had in one way. Without a service role: with Batch's own, they can be changed in place."""
        spot = name == "Spot"
        ami = batch.CfnComputeEnvironment.Ec2ConfigurationObjectProperty(image_type=_AMI[self.kind])
        resources = batch.CfnComputeEnvironment.ComputeResourcesProperty(
            type="SPOT" if spot else "EC2",
            allocation_strategy="SPOT_PRICE_CAPACITY_OPTIMIZED" if spot else "BEST_FIT_PROGRESSIVE",
            minv_cpus=0,
            maxv_cpus=limit,
            instance_types=list(settings.instances(self.kind)),
            instance_role=self.profile.attr_arn,
            ec2_configuration=[ami],
            launch_template=batch.CfnComputeEnvironment.LaunchTemplateSpecificationProperty(
                launch_template_id=self.template.ref, version=self.template.attr_latest_version_number
            ),
            security_group_ids=[network.workers.security_group_id],
            subnets=network.subnets,
            update_to_latest_image_version=True,
            tags={"Name": f"{settings.name} {self.kind} worker", "embedder-stage": settings.stage},  # of the machines
        )
        return batch.CfnComputeEnvironment(
            self,
            name,
            type="managed",
            state="ENABLED",
            compute_resources=resources,
            ecs_settings=batch.CfnComputeEnvironment.EcsSettingsProperty(
                container_insights="ENABLED" if settings.container_insights else "DISABLED"
            ),
            replace_compute_environment=False,
            update_policy=batch.CfnComputeEnvironment.UpdatePolicyProperty(
                terminate_jobs_on_update=False,  # which is also the default, with half an hour for them to end
                job_execution_timeout_minutes=min(settings.timeout_minutes, MOST_UPDATE_MINUTES),
            ),
        )

    def _instance_role(self) -> iam.Role:
        role = iam.Role(
            self,
            "Instance",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            description="The machine itself, for ECS's agent; workers have a role of their own",
            managed_policies=[
                iam.ManagedPolicy.from_aws_managed_policy_name("service-role/AmazonEC2ContainerServiceforEC2Role")
            ],
        )
        policy = "arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
        reason = "what ECS's agent may need is AWS's to say: with a copy of our own a new agent would not start"
        accept(role, {f"AwsSolutions-IAM4[Policy::{policy}]": reason})
        return role

    def _template(self) -> ec2.CfnLaunchTemplate:
        """Encrypted disk, draining, and metadata that a worker cannot ask for."""
        disk = ec2.CfnLaunchTemplate.BlockDeviceMappingProperty(
            device_name="/dev/xvda",
            ebs=ec2.CfnLaunchTemplate.EbsProperty(
                encrypted=True, volume_size=_DISK_GIB[self.kind], volume_type="gp3", delete_on_termination=True
            ),
        )
        return ec2.CfnLaunchTemplate(
            self,
            "Template",
            launch_template_data=ec2.CfnLaunchTemplate.LaunchTemplateDataProperty(
                block_device_mappings=[disk],
                metadata_options=ec2.CfnLaunchTemplate.MetadataOptionsProperty(
                    http_tokens="required", http_put_response_hop_limit=1
                ),
                user_data=Fn.base64(_USER_DATA),
            ),
        )
