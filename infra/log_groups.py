"""Log groups: kept as long as the stage says, and deleted with the stack."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import StageSettings
from infra.settings_checks import LOG_DAYS

_RETENTION = dict(zip(LOG_DAYS, logs.RetentionDays, strict=False))  # the enumeration ends with INFINITE


def log_group(scope: Construct, name: str, settings: StageSettings) -> logs.LogGroup:
    """Create a log group, encrypted with the stage's key if it has one, else by CloudWatch."""
    key = kms.Key.from_key_arn(scope, f"{name}Key", settings.key) if settings.key else None
    return logs.LogGroup(
        scope,
        name,
        retention=_RETENTION[settings.log_days],
        encryption_key=key,
        removal_policy=RemovalPolicy.DESTROY,
    )
