"""The machines of one kind of worker: Spot first, then on demand, and the queue in front of both."""

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
"""Room for the container image twice, packed and unpacked, and for the system; torch with CUDA is large."""

USER_DATA = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="==EMBEDDER=="

--==EMBEDDER==
Content-Type: text/x-shellscript; charset="us-ascii"

#!/bin/bash
# A Spot instance that is about to be reclaimed takes no new workers.
echo ECS_ENABLE_SPOT_INSTANCE_DRAINING=true >> /etc/ecs/ecs.config
# Batch's containers share the machine's network, where no hop limit keeps them from its credentials. ECS's agent runs
# as root and a worker does not; a worker gets its own credentials from another address.
# This script runs before ECS's agent starts. Without the rule the machine must take no workers, so the agent is masked
# and the machine goes down.
rule="OUTPUT --destination 169.254.169.254 --match owner ! --uid-owner root --jump REJECT"
if ! { iptables --wait --insert $rule && iptables --wait --check $rule; }; then
  echo "embedder: the rule that protects the machine's credentials cannot be set; no worker starts here" >&2
  systemctl mask --now ecs
  shutdown --poweroff now
fi

--==EMBEDDER==--
"""

MOST_UPDATE_MINUTES = 360
"""The longest that Batch waits for the workers of a machine before it replaces the machine."""
_NEVER_STARTS = ("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE", "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT")
"""Batch's reasons of jobs that no machine of the queue can run."""


class Machines(Construct):
    """No machine runs, and nothing is charged, while no job waits."""

    def __init__(self, scope: Construct, settings: StageSettings, kind: str, network: Network) -> None:
        super().__init__(scope, "Machines")
        self.kind = kind
        self.settings = settings
        self.template = self._template()
        self.profile = iam.CfnInstanceProfile(self, "Profile", roles=[self._instance_role().role_name])
        limits = {"Spot": settings.spot_vcpus, "OnDemand": settings.on_demand_vcpus}
        environments = [self._environment(name, limit, network) for name, limit in limits.items() if limit]
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
            # A job that can never start would block those behind it. Its end is mailed as a failed job.
            job_state_time_limit_actions=[
                batch.CfnJobQueue.JobStateTimeLimitActionProperty(
                    action="CANCEL",
                    max_time_seconds=max(600, 60 * settings.stuck_minutes),
                    reason=reason,
                    state="RUNNABLE",
                )
                for reason in _NEVER_STARTS
            ],
        )

    def _environment(self, name: str, limit: int, network: Network) -> batch.CfnComputeEnvironment:
        """Return one way to get machines. It names no service role: only with Batch's own can it change in place."""
        settings, spot = self.settings, name == "Spot"
        ami = batch.CfnComputeEnvironment.Ec2ConfigurationObjectProperty(image_type=_AMI[self.kind])
        own = {"Name": f"{settings.name} {self.kind} worker", "embedder-stage": settings.stage}
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
            tags={**settings.tags, **own},  # of the machines
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
                terminate_jobs_on_update=False,  # the default, which gives workers half an hour
                job_execution_timeout_minutes=min(settings.timeout_minutes, MOST_UPDATE_MINUTES),
            ),
        )

    def _instance_role(self) -> iam.Role:
        reasons = {
            "service-role/AmazonEC2ContainerServiceforEC2Role": (
                "AWS decides what ECS's agent needs; with a copy of the policy a new agent might not start"
            ),
        }
        if self.settings.session_manager:
            reasons["AmazonSSMManagedInstanceCore"] = "AWS decides what the agent of Systems Manager needs"
        role = iam.Role(
            self,
            "Instance",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            description="The machine itself, for ECS's agent; workers have a role of their own",
            managed_policies=[iam.ManagedPolicy.from_aws_managed_policy_name(name) for name in reasons],
        )
        for name, reason in reasons.items():
            accept(role, {f"AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/{name}]": reason})
        return role

    def _template(self) -> ec2.CfnLaunchTemplate:
        """Return the launch template: an encrypted disk, draining, and metadata that a worker cannot read."""
        disk = ec2.CfnLaunchTemplate.BlockDeviceMappingProperty(
            device_name="/dev/xvda",
            ebs=ec2.CfnLaunchTemplate.EbsProperty(
                encrypted=True,
                kms_key_id=self.settings.key or None,
                volume_size=_DISK_GIB[self.kind],
                volume_type="gp3",
                delete_on_termination=True,
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
                user_data=Fn.base64(USER_DATA),
            ),
        )
