"""Delivery by itself: a push to the repository synthesizes and deploys the stages, one after the other.

It runs no tests: those are for CI, before the push.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Environment, Stack, Stage, pipelines
from constructs import Construct

from infra.settings import Delivery, StageSettings
from infra.stack import StageStack


class DeliveryPipeline(Stack):
    """A CDK pipeline, which also updates itself. Deployed once by hand; it lives where the first stage does."""

    def __init__(self, scope: Construct, delivery: Delivery, stages: Sequence[StageSettings]) -> None:
        first = stages[0]
        super().__init__(
            scope,
            "embedder-pipeline",
            stack_name="embedder-pipeline",
            description="embedder: delivery of its stages",
            env=Environment(account=first.account, region=first.region),
        )
        source = pipelines.CodePipelineSource.connection(
            delivery.repository, delivery.branch, connection_arn=delivery.connection
        )
        several = len({each.account for each in stages}) > 1
        pipeline = pipelines.CodePipeline(
            self,
            "Pipeline",
            cross_account_keys=several,
            enable_key_rotation=several or None,
            synth=pipelines.ShellStep(
                "Synth",
                input=source,
                commands=["scripts/synth -c pipeline=true"],
                primary_output_directory="infra/cdk.out",
            ),
        )
        self.deployed: list[Stage] = []
        for settings in stages:
            stage = Stage(self, settings.stage, env=Environment(account=settings.account, region=settings.region))
            StageStack(stage, settings)
            asked = [pipelines.ManualApprovalStep(f"Approve-{settings.stage}")]
            pipeline.add_stage(stage, pre=asked if settings.stage in delivery.approve else [])
            self.deployed.append(stage)
