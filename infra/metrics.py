"""The metrics of alarms and dashboard.

Workers and the job monitor (job_monitor/) write metrics as lines of their logs, in the namespace `embedder` with the
dimension `Deployment`, which is the stage.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.settings import StageSettings

STAGES = ("Load", "Fetch", "Decode", "Encode", "Write")
"""The stages of a worker. Each has a metric of its seconds, such as `FetchSeconds`."""
FAILING_STAGES = ("check", "fetch", "decode", "encode", "write")
"""The values of the dimension `Stage` of `FailedImages`."""


def ours(settings: StageSettings, name: str, statistic: str, minutes: int = 5, **dimensions: str) -> cloudwatch.Metric:
    """Return a metric of the workers or of the job monitor."""
    return cloudwatch.Metric(
        namespace="embedder",
        metric_name=name,
        dimensions_map={"Deployment": settings.stage, **dimensions},
        statistic=statistic,
        period=Duration.minutes(minutes),
    )


def table(name: str, metric: str) -> cloudwatch.Metric:
    """Return a sum over five minutes that DynamoDB reports for a table."""
    return cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name=metric,
        dimensions_map={"TableName": name},
        statistic="Sum",
        period=Duration.minutes(5),
    )
