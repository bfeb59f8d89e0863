"""Metrics of jobs that Batch does not have, and mail about failed jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from aws_cdk import Aws, Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.lambda_function import LambdaFunction
from infra.permissions import allow
from infra.settings import StageSettings

LOOK = Duration.minutes(5)


class JobMonitor(LambdaFunction):
    """Writes the metrics RunnableSeconds, JobSeconds and FailedJobs."""

    def __init__(self, scope: Construct, settings: StageSettings, queues: Sequence[str]) -> None:
        super().__init__(
            scope,
            "JobMonitor",
            settings,
            package=Path(__file__).parent / "job_monitor",
            handler="job_monitor.handler.handler",
            description="The job monitor: how long jobs wait and run, and which fail",
            memory_mib=256,
            timeout=Duration.minutes(2),
            environment={"DEPLOYMENT": settings.stage, "QUEUES": ",".join(queues)},
        )
        allow(self.role, "batch:ListJobs", on=["*"], why="AWS knows no narrower permission for it")
        target = targets.LambdaFunction(self.function)
        events.Rule(
            self, "Look", description="Measures the queues", schedule=events.Schedule.rate(LOOK), targets=[target]
        )
        ended = {"jobQueue": list(queues), "status": ["SUCCEEDED", "FAILED"]}
        events.Rule(
            self,
            "Ended",
            description="Jobs that ended, with each child of an array",
            event_pattern=events.EventPattern(
                source=["aws.batch"], detail_type=["Batch Job State Change"], detail=ended
            ),
            targets=[target],
        )


class AlertTopic(Construct):
    """One topic for all mail: alarms, failed jobs, blocked queues, outcomes of submissions."""

    def __init__(self, scope: Construct, settings: StageSettings, queues: Sequence[str]) -> None:
        super().__init__(scope, "Alerts")
        self.topic = sns.Topic(
            self,
            "Topic",
            display_name=f"embedder {settings.stage}",
            enforce_ssl=True,
            master_key=kms.Key.from_key_arn(self, "Key", settings.key) if settings.key else None,
        )
        for address in settings.alarm_emails:
            self.topic.add_subscription(subscriptions.EmailSubscription(address))
        # A policy of its own replaces the default one of a topic, so alarms need a statement.
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                sid="Alarms",
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        field = events.EventField.from_path
        for name, kind, detail, text in (
            # The end of an array itself, not of each of its children.
            (
                "FailedJobs",
                "Batch Job State Change",
                {"status": ["FAILED"], "arrayProperties": {"index": [{"exists": False}]}},
                "failed",
            ),
            ("BlockedQueues", "Batch Job Queue Blocked", {}, "waits, and holds up its queue"),
        ):
            message = (
                f"embedder {settings.stage}: the job {field('$.detail.jobName')} ({field('$.detail.jobId')}) {text}: "
                f"{field('$.detail.statusReason')}"
            )
            events.Rule(
                self,
                name,
                description=f"Mail about a job that {text}",
                event_pattern=events.EventPattern(
                    source=["aws.batch"], detail_type=[kind], detail={"jobQueue": list(queues), **detail}
                ),
                targets=[targets.SnsTopic(self.topic, message=events.RuleTargetInput.from_text(message))],
            )
