"""A Lambda function with its own role and log group."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.log_groups import log_group
from infra.settings import StageSettings


class LambdaFunction(Construct):
    """Its role may write the log; callers of `permissions.allow` add the rest."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        settings: StageSettings,
        *,
        package: Path,
        handler: str,
        description: str,
        memory_mib: int,
        timeout: Duration,
        environment: Mapping[str, str],
    ) -> None:
        """
        Args:
            package: the folder of a Python package that needs only boto3. It keeps its name.
        """
        super().__init__(scope, name)
        group = log_group(self, "Log", settings)
        self.role = iam.Role(
            self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"), description=description
        )
        group.grant_write(self.role)
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(package, Path(folder, package.name), ignore=shutil.ignore_patterns("__pycache__"))
            self.function = lambda_.Function(
                self,
                "Function",
                description=description,
                runtime=lambda_.Runtime.PYTHON_3_14,
                architecture=lambda_.Architecture.ARM_64,
                handler=handler,
                code=lambda_.Code.from_asset(folder),
                memory_size=memory_mib,
                timeout=timeout,
                role=self.role,
                log_group=group,
                environment=dict(environment),
            )
