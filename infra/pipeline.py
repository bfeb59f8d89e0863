"""Continuous delivery: a push to the repository synthesizes and deploys the stages, one after the other.

The pipeline runs no tests; those are for CI, before the push.
"""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Environment, Stack, Stage, pipelines
from aws_cdk import aws_codebuild as codebuild
from constructs import Construct

from infra.container_image import architecture
from infra.delivery import Delivery
from infra.settings import SettingsError, StageSettings
from infra.stack import StageStack

CDK_CLI = "2.1148.1"
"""The `cdk` that deploys the pipeline itself; README.md deploys stages with the same."""
CDK_ASSETS = "4.7.3"
"""The `cdk-assets` that publishes images and code."""
_RUNTIMES = {"phases": {"install": {"runtime-versions": {"nodejs": "22", "python": "3.12"}}}}


class DeliveryPipeline(Stack):
    """A CDK pipeline that also updates itself. It is deployed once by hand, where the first stage is."""

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
            cli_version=CDK_CLI,
            cdk_assets_cli_version=CDK_ASSETS,
            code_build_defaults=pipelines.CodeBuildOptions(
                build_environment=codebuild.BuildEnvironment(build_image=codebuild.LinuxBuildImage.STANDARD_7_0),
                partial_build_spec=codebuild.BuildSpec.from_object(_RUNTIMES),
            ),
            asset_publishing_code_build_defaults=pipelines.CodeBuildOptions(
                build_environment=codebuild.BuildEnvironment(build_image=_builder(stages))
            ),
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


def _builder(stages: Sequence[StageSettings]) -> codebuild.IBuildImage:
    """Return what builds the stages' images: CodeBuild does not emulate another architecture.

    Raises:
        SettingsError: the images are for several architectures.
    """
    wanted = {architecture(each, kind) for each in stages for kind in each.workers if not each.image(kind)}
    if len(wanted) > 1:
        raise SettingsError(
            f"pipeline: its stages need images for {' and '.join(sorted(wanted))}, and one kind of machine builds them "
            "all: name instance types of one architecture, or existing images (cpu_image, gpu_image)"
        )
    if wanted == {"arm64"}:
        return codebuild.LinuxArmBuildImage.AMAZON_LINUX_2023_STANDARD_3_0
    return codebuild.LinuxBuildImage.STANDARD_7_0
