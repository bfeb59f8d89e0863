"""A dashboard that shows the progress of runs, and the services that they use."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra import metrics
from infra.settings import StageSettings
from infra.storage import Storage


class Dashboard(Construct):
    """The dashboard is named after the stack."""

    def __init__(
        self, scope: Construct, settings: StageSettings, storage: Storage, submitter: lambda_.IFunction
    ) -> None:
        super().__init__(scope, "Dashboard")

        def sums(*names: str) -> list[cloudwatch.IMetric]:
            return [metrics.ours(settings, name, "Sum") for name in names]

        by_stage: list[cloudwatch.IMetric] = [
            metrics.ours(settings, "FailedImages", "Sum", Stage=stage) for stage in metrics.FAILING_STAGES
        ]
        seconds = sums(*(f"{stage}Seconds" for stage in metrics.STAGES))
        waiting = [metrics.ours(settings, "RunnableSeconds", "Maximum")]
        name = storage.table.table_name
        every = Duration.minutes(5)
        cloudwatch.Dashboard(
            self,
            "Page",
            dashboard_name=settings.name,
            widgets=[
                [
                    _graph("Images", sums("Embedded", "Skipped", "Failed"), stacked=True),
                    _graph("Failed images by stage", by_stage, stacked=True),
                    _graph("Images/s of a worker", [metrics.ours(settings, "ImagesPerSecond", "Average")]),
                ],
                [
                    _graph("Thread seconds by stage", seconds, stacked=True),
                    _graph("Seconds a job", [metrics.ours(settings, "JobSeconds", each) for each in ("p50", "p90")]),
                    _graph("Failed jobs", sums("FailedJobs")),
                ],
                [
                    _graph("Seconds that jobs wait while none runs", waiting),
                    _graph(
                        "Submitter",
                        [submitter.metric_invocations(period=every), submitter.metric_errors(period=every)],
                    ),
                    _graph("Submitter, ms", [submitter.metric_duration(period=every, statistic="Maximum")]),
                ],
                [
                    _graph("Write units", [metrics.table(name, "ConsumedWriteCapacityUnits")]),
                    _graph("Read units", [metrics.table(name, "ConsumedReadCapacityUnits")]),
                    _graph("Throttled", [metrics.table(name, f"{kind}ThrottleEvents") for kind in ("Write", "Read")]),
                ],
            ],
        )


def _graph(title: str, lines: list[cloudwatch.IMetric], *, stacked: bool = False) -> cloudwatch.GraphWidget:
    return cloudwatch.GraphWidget(title=title, left=lines, stacked=stacked, width=8, height=6)
