"""Log groups: kept as long as the stage says, and gone with the stack."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.settings import LOG_DAYS, StageSettings

_RETENTION = dict(zip(LOG_DAYS, logs.RetentionDays, strict=False))  # the enumeration ends with INFINITE


def log_group(scope: Construct, name: str, settings: StageSettings) -> logs.LogGroup:
    """A log group; CloudWatch encrypts it."""
    return logs.LogGroup(scope, name, retention=_RETENTION[settings.log_days], removal_policy=RemovalPolicy.DESTROY)
