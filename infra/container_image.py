"""The workers' container image: built from the repository's Dockerfile when it is deployed, or one that exists."""

from __future__ import annotations

import re
from pathlib import Path

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as assets
from constructs import Construct

from infra.settings import SettingsError, StageSettings

ROOT = Path(__file__).parents[1]
_NOT_IN_IT = [".*", "infra", "tests", "docs", "build", "**/__pycache__", "*.egg-info", "*.db*"]
_TORCH: dict[str, dict[str, str]] = {"cpu": {}, "gpu": {"TORCH_INDEX": ""}}  # PyPI's torch has CUDA


class ContainerImage(Construct):
    """`uri` for the job definition, and the repository that it is pulled from, where that is ECR's."""

    def __init__(self, scope: Construct, settings: StageSettings, kind: str) -> None:
        super().__init__(scope, "Image")
        self.uri = settings.image(kind)
        self.repository: ecr.IRepository | None = None
        if not self.uri:
            if not (ROOT / "Dockerfile").exists():
                raise SettingsError(f"stage {settings.stage!r}: there is no Dockerfile to build, so say {kind}_image")
            built = assets.DockerImageAsset(
                self,
                "Built",
                directory=str(ROOT),
                exclude=_NOT_IN_IT,
                build_args=_TORCH[kind] | _model(settings),
                platform=assets.Platform.LINUX_AMD64,
            )
            self.uri, self.repository = built.image_uri, built.repository
        elif matched := re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)", self.uri):
            account, region, name = matched.groups()
            arn = f"arn:{Stack.of(self).partition}:ecr:{region}:{account}:repository/{name}"
            self.repository = ecr.Repository.from_repository_attributes(
                self, "Repository", repository_arn=arn, repository_name=name
            )


def _model(settings: StageSettings) -> dict[str, str]:
    """The model has to be in the image: workers can neither download one nor keep it."""
    return {"MODEL": settings.options["model"]} if "model" in settings.options else {}
