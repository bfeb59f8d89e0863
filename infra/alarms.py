"""The alarms, which send mail. docs/operations.md says for each what to do."""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import metrics
from infra.settings import StageSettings
from infra.storage import Storage

_QUIET = cloudwatch.TreatMissingData.NOT_BREACHING
THROTTLED_IN_5_MINUTES = 1000
"""Workers wait and try again. With this many throttles three times in a row they mostly wait."""
BAND = 4
"""Standard deviations; wide enough that a run of larger images is no anomaly."""


class Alarms(Construct):
    """Each alarm is named after its stage and its subject: `embedder-prod-failed-jobs`."""

    def __init__(
        self,
        scope: Construct,
        settings: StageSettings,
        topic: sns.ITopic,
        storage: Storage,
        submitter: lambda_.IFunction,
    ) -> None:
        super().__init__(scope, "Alarms")
        self.settings = settings
        self.mail = actions.SnsAction(topic)
        self._jobs()
        self._functions(submitter)
        self._table(storage.table.table_name)

    def _jobs(self) -> None:
        ours = self.settings
        failed = metrics.ours(ours, "FailedJobs", "Sum")
        self._above("failed-jobs", failed, 0, "A worker failed for good: the images of its shard are missing")
        waiting = metrics.ours(ours, "RunnableSeconds", "Maximum")
        self._above("stuck-jobs", waiting, 60 * ours.stuck_minutes, "Jobs wait and none runs", times=3)
        share = cloudwatch.MathExpression(
            expression="100 * failed / images",
            label="percent of images that failed",
            using_metrics={
                "failed": metrics.ours(ours, "Failed", "Sum", 60),
                "images": metrics.ours(ours, "Images", "Sum", 60),
            },
            period=Duration.hours(1),
        )
        self._above("failed-images", share, ours.failed_percent, "Many images cannot be embedded")
        self._unusual("job-duration", metrics.ours(ours, "JobSeconds", "p90", 60), "Jobs take longer than they used to")

    def _functions(self, submitter: lambda_.IFunction) -> None:
        errors = submitter.metric_errors(period=Duration.minutes(5))
        self._above("submitter-errors", errors, 0, "A submission failed")
        throttles = submitter.metric_throttles(period=Duration.minutes(5))
        self._above("submitter-throttles", throttles, 0, "The account's Lambdas are at their limit")
        duration = submitter.metric_duration(period=Duration.hours(1), statistic="p90")
        self._unusual("submitter-duration", duration, "Submissions take longer than they used to")

    def _table(self, name: str) -> None:
        for kind in ("Write", "Read"):
            throttled = metrics.table(name, f"{kind}ThrottleEvents")
            self._above(
                f"table-{kind.lower()}-throttles",
                throttled,
                THROTTLED_IN_5_MINUTES,
                f"Workers wait for the table to {kind.lower()}",
                times=3,
            )

    def put_aside(self, queue: sqs.IQueue) -> None:
        """Add the alarm of a stage that embeds uploads."""
        waiting = queue.metric_approximate_number_of_messages_visible(period=Duration.minutes(5), statistic="Maximum")
        self._above("put-aside-uploads", waiting, 0, "Notifications of uploads could not be read")

    def _above(self, name: str, metric: cloudwatch.IMetric, limit: float, about: str, times: int = 1) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=f"{self.settings.name}-{name}",
            alarm_description=f"{about}. docs/operations.md says what to do: {name}",
            metric=metric,
            threshold=limit,
            evaluation_periods=times,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=_QUIET,
        )
        alarm.add_alarm_action(self.mail)

    def _unusual(self, name: str, metric: cloudwatch.Metric, about: str) -> None:
        """Add an alarm by CloudWatch's anomaly detection, which learns for two weeks what is usual."""
        alarm = cloudwatch.AnomalyDetectionAlarm(
            self,
            name,
            alarm_name=f"{self.settings.name}-{name}",
            alarm_description=f"{about}. docs/operations.md says what to do: {name}",
            metric=metric,
            std_devs=BAND,
            evaluation_periods=2,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_UPPER_THRESHOLD,
            treat_missing_data=_QUIET,
        )
        alarm.add_alarm_action(self.mail)
