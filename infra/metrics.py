"""The metrics that alarms and dashboard look at.

The workers write theirs as lines of their log, the watchman does too (watcher/): namespace `embedder`, one dimension,
`Deployment`, which is the stage.
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from infra.settings import StageSettings

STAGES = ("Load", "Fetch", "Decode", "Encode", "Write")
"""Of a worker, each with its seconds: `FetchSeconds`."""
FAILING_STAGES = ("check", "fetch", "decode", "encode", "write")
"""What the dimension `Stage` of `FailedImages` may be."""


def ours(settings: StageSettings, name: str, statistic: str, minutes: int = 5, **dimensions: str) -> cloudwatch.Metric:
    """A metric of the workers or of the watchman."""
    return cloudwatch.Metric(
        namespace="embedder",
        metric_name=name,
        dimensions_map={"Deployment": settings.stage, **dimensions},
        statistic=statistic,
        period=Duration.minutes(minutes),
    )


def table(name: str, metric: str) -> cloudwatch.Metric:
    """A sum over five minutes that DynamoDB itself reports for a table."""
    return cloudwatch.Metric(
        namespace="AWS/DynamoDB",
        metric_name=metric,
        dimensions_map={"TableName": name},
        statistic="Sum",
        period=Duration.minutes(5),
    )
