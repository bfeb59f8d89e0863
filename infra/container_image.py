"""The workers' container image: built from the repository's Dockerfile at deployment, or an existing one."""

from __future__ import annotations

import re
from pathlib import Path

from aws_cdk import Stack
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as assets
from constructs import Construct

from infra.instance_types import instance_type
from infra.settings import SettingsError, StageSettings

ROOT = Path(__file__).parents[1]
BASE = "public.ecr.aws/docker/library/python:3.11-slim-bookworm"
"""The Dockerfile's base image, from a registry that does not limit anonymous pulls as Docker Hub does."""
_EXCLUDED = [".*", "infra", "tests", "docs", "build", "**/__pycache__", "*.egg-info", "*.db*"]
_TORCH: dict[str, dict[str, str]] = {"cpu": {}, "gpu": {"TORCH_INDEX": ""}}  # PyPI's torch has CUDA
_PLATFORMS = {"x86_64": assets.Platform.LINUX_AMD64, "arm64": assets.Platform.LINUX_ARM64}


class ContainerImage(Construct):
    """`uri` for the job definition, and the repository that it is pulled from if that is ECR's."""

    def __init__(self, scope: Construct, settings: StageSettings, kind: str) -> None:
        super().__init__(scope, "Image")
        self.uri = settings.image(kind)
        self.repository: ecr.IRepository | None = None
        if not self.uri:
            if not (ROOT / "Dockerfile").exists():
                raise SettingsError(f"stage {settings.stage!r}: there is no Dockerfile to build; set {kind}_image")
            built = assets.DockerImageAsset(
                self,
                "Built",
                directory=str(ROOT),
                exclude=_EXCLUDED,
                build_args={"BASE": BASE} | _TORCH[kind] | _model(settings),
                platform=_PLATFORMS[architecture(settings, kind)],
            )
            self.uri, self.repository = built.image_uri, built.repository
        elif matched := re.match(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?/([^:@]+)", self.uri):
            account, region, name = matched.groups()
            arn = f"arn:{Stack.of(self).partition}:ecr:{region}:{account}:repository/{name}"
            self.repository = ecr.Repository.from_repository_attributes(
                self, "Repository", repository_arn=arn, repository_name=name
            )


def architecture(settings: StageSettings, kind: str) -> str:
    """Return the architecture of a kind's instance types, of which the settings allow only one."""
    found = {each.architecture for name in settings.instances(kind) if (each := instance_type(name))}
    (one,) = found
    return one


def _model(settings: StageSettings) -> dict[str, str]:
    """Return the model to build into the image: workers can neither download nor keep one."""
    return {"MODEL": settings.options["model"]} if "model" in settings.options else {}
