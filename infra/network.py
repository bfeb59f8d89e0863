"""The network of the workers' machines: a VPC without NAT, or an existing one, with the endpoints that workers need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Aws, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.log_groups import log_group
from infra.settings import StageSettings
from infra.settings_checks import ENDPOINTS, SESSION_ENDPOINTS
from infra.storage import Storage

_HTTPS = ec2.Port.tcp(443)
_GATEWAYS = ("s3", "dynamodb")
_ACTIONS = {
    "ecs": ["ecs:*"],
    "ecr.api": ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
    "logs": ["logs:CreateLogStream", "logs:PutLogEvents"],
}
_ACTIONS["ecr.api"] += ["ecr:GetAuthorizationToken"]
_ACTIONS["ecr.dkr"] = _ACTIONS["ecr.api"]
"""What may pass an interface endpoint. The others, such as `ecs-agent`, take no policy."""


def zones(settings: StageSettings) -> int:
    """Return the number of zones: three where subnets cost nothing, two where each zone has paid endpoints."""
    return len(settings.zones) or (3 if settings.public else 2)


class Network(Construct):
    """Images and vectors pass through gateway endpoints, which are free and lead only to this stage's data."""

    def __init__(self, scope: Construct, settings: StageSettings, storage: Storage) -> None:
        super().__init__(scope, "Network")
        self.settings = settings
        self.vpc = self._existing_vpc() if settings.vpc else self._own_vpc()
        self.workers = ec2.SecurityGroup(
            self,
            "Workers",
            vpc=self.vpc,
            description="Workers: HTTPS goes out",
            allow_all_outbound=False,
        )
        self.workers.add_egress_rule(ec2.Peer.any_ipv4(), _HTTPS, "AWS, by TLS")
        own = [subnet.subnet_id for subnet in self.vpc.public_subnets or self.vpc.isolated_subnets]
        self.subnets = list(settings.given_subnets) or own
        made = self._endpoint_names()
        self._gateways([name for name in made if name in _GATEWAYS], storage)
        self._interfaces([name for name in made if name not in _GATEWAYS])
        if not settings.vpc:
            self._log_refusals()

    def _endpoint_names(self) -> tuple[str, ...]:
        if self.settings.vpc:
            return self.settings.endpoints
        if self.settings.public:
            return _GATEWAYS
        return (*ENDPOINTS, *(SESSION_ENDPOINTS if self.settings.session_manager else ()))

    def _own_vpc(self) -> ec2.Vpc:
        public = self.settings.public
        return ec2.Vpc(
            self,
            "Vpc",
            max_azs=zones(self.settings),
            nat_gateways=0,
            restrict_default_security_group=False,  # the CDK would add a Lambda for it, and nothing uses that group
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="Workers",
                    subnet_type=ec2.SubnetType.PUBLIC if public else ec2.SubnetType.PRIVATE_ISOLATED,
                    map_public_ip_on_launch=public or None,
                    cidr_mask=20,
                )
            ],
        )

    def _existing_vpc(self) -> ec2.IVpc:
        # The zones are those of the given subnets, and nothing here asks for their names.
        return ec2.Vpc.from_vpc_attributes(self, "Vpc", vpc_id=self.settings.vpc, availability_zones=["of-the-subnets"])

    def _gateways(self, names: Sequence[str], storage: Storage) -> None:
        stack, bucket = Stack.of(self), storage.bucket
        # ECR keeps the layers of container images in a bucket of its own.
        layers = f"arn:{stack.partition}:s3:::prod-{stack.region}-starport-layer-bucket/*"
        policies = {
            "s3": [
                _statement(["s3:*"], [bucket.bucket_arn, bucket.arn_for_objects("*")]),
                _statement(["s3:GetObject"], [layers]),
                *(_statement(["s3:GetObject", "s3:ListBucket"], [each, f"{each}/*"]) for each in storage.read_buckets),
            ],
            "dynamodb": [_statement(["dynamodb:*"], [storage.table.table_arn])],
        }
        own = [each.route_table.route_table_id for each in self.vpc.public_subnets or self.vpc.isolated_subnets]
        for name in names:
            ec2.CfnVPCEndpoint(
                self,
                {"s3": "S3", "dynamodb": "DynamoDB"}[name],
                vpc_id=self.vpc.vpc_id,
                vpc_endpoint_type="Gateway",
                service_name=f"com.amazonaws.{stack.region}.{name}",
                route_table_ids=list(self.settings.route_tables) or own,
                policy_document={"Version": "2012-10-17", "Statement": policies[name]},
            )

    def _interfaces(self, names: Sequence[str]) -> None:
        if not names:
            return
        group = ec2.SecurityGroup(
            self, "Endpoints", vpc=self.vpc, description="Endpoints: HTTPS from workers", allow_all_outbound=False
        )
        group.add_ingress_rule(self.workers, _HTTPS, "ECS's agent and the logs")
        for name in names:
            statement = _statement(_ACTIONS.get(name, []), ["*"])
            statement["Condition"] = {"StringEquals": {"aws:PrincipalAccount": Aws.ACCOUNT_ID}}
            policy = {"Version": "2012-10-17", "Statement": [statement]} if name in _ACTIONS else None
            ec2.CfnVPCEndpoint(
                self,
                "".join(part.capitalize() for part in name.replace(".", "-").split("-")),
                vpc_id=self.vpc.vpc_id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{Stack.of(self).region}.{name}",
                subnet_ids=self.subnets[: self.settings.endpoint_zones],
                security_group_ids=[group.security_group_id],
                private_dns_enabled=True,
                policy_document=policy,
            )

    def _log_refusals(self) -> None:
        group = log_group(self, "Refused", self.settings)
        self.vpc.add_flow_log(
            "Refusals",
            traffic_type=ec2.FlowLogTrafficType.REJECT,
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(group),
        )


def _statement(actions: list[str], resources: list[str]) -> dict[str, Any]:
    """Return a statement of an endpoint's policy. It only narrows what a role may do, so it names no role."""
    return {"Effect": "Allow", "Principal": "*", "Action": actions, "Resource": resources}
