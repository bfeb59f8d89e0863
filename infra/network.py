"""Where the workers' machines are: a VPC without NAT, with just the ways out that they need."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.log_groups import log_group
from infra.settings import StageSettings
from infra.storage import Storage

ZONES = 2
"""As many as every region has."""
_HTTPS = ec2.Port.tcp(443)
_AGENT = {
    "Ecs": ec2.InterfaceVpcEndpointAwsService.ECS,
    "EcsAgent": ec2.InterfaceVpcEndpointAwsService.ECS_AGENT,
    "EcsTelemetry": ec2.InterfaceVpcEndpointAwsService.ECS_TELEMETRY,
    "Ecr": ec2.InterfaceVpcEndpointAwsService.ECR,
    "EcrDocker": ec2.InterfaceVpcEndpointAwsService.ECR_DOCKER,
    "Logs": ec2.InterfaceVpcEndpointAwsService.CLOUDWATCH_LOGS,
}
"""What ECS's agent speaks to on a machine without internet. Each costs by the hour in each zone."""


class Network(Construct):
    """Images and vectors go through gateway endpoints, which cost nothing and lead to this stage's data alone."""

    def __init__(self, scope: Construct, settings: StageSettings, storage: Storage) -> None:
        super().__init__(scope, "Network")
        public = settings.subnets == "public"
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=ZONES,
            nat_gateways=0,
            restrict_default_security_group=False,  # would be a Lambda; nothing uses that group
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Workers",
                    subnet_type=ec2.SubnetType.PUBLIC if public else ec2.SubnetType.PRIVATE_ISOLATED,
                    map_public_ip_on_launch=public or None,
                    cidr_mask=20,
                )
            ],
        )
        self.workers = ec2.SecurityGroup(
            self,
            "Workers",
            vpc=self.vpc,
            description="Workers: HTTPS goes out",
            allow_all_outbound=False,
        )
        self.subnets = [subnet.subnet_id for subnet in self.vpc.public_subnets or self.vpc.isolated_subnets]
        self.workers.add_egress_rule(ec2.Peer.any_ipv4(), _HTTPS, "AWS, by TLS")
        self._gateways(storage)
        if not public:
            self._interfaces()
        self._log_refusals(settings)

    def _gateways(self, storage: Storage) -> None:
        objects = self.vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        bucket = storage.bucket
        objects.add_to_policy(_anybody(["s3:*"], [bucket.bucket_arn, bucket.arn_for_objects("*")]))
        # ECR keeps the layers of container images in a bucket of its own.
        stack = Stack.of(self)
        layers = f"arn:{stack.partition}:s3:::prod-{stack.region}-starport-layer-bucket/*"
        objects.add_to_policy(_anybody(["s3:GetObject"], [layers]))
        items = self.vpc.add_gateway_endpoint("DynamoDB", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        items.add_to_policy(_anybody(["dynamodb:*"], [storage.table.table_arn]))

    def _interfaces(self) -> None:
        endpoints = ec2.SecurityGroup(
            self, "Endpoints", vpc=self.vpc, description="Endpoints: HTTPS from workers", allow_all_outbound=False
        )
        endpoints.add_ingress_rule(self.workers, _HTTPS, "ECS's agent and the logs")
        for name, service in _AGENT.items():
            self.vpc.add_interface_endpoint(name, service=service, security_groups=[endpoints], open=False)

    def _log_refusals(self, settings: StageSettings) -> None:
        group = log_group(self, "Refused", settings)
        self.vpc.add_flow_log(
            "Refusals",
            traffic_type=ec2.FlowLogTrafficType.REJECT,
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
        )


def _anybody(actions: list[str], resources: list[str]) -> iam.PolicyStatement:
    """An endpoint's policy only narrows what a role may do, so it names no role."""
    return iam.PolicyStatement(principals=[iam.AnyPrincipal()], actions=actions, resources=resources)
