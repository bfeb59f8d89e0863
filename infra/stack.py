"""The stack of one stage: joins its parts, and outputs their names."""

from __future__ import annotations

from aws_cdk import CfnOutput, Environment, Fn, Stack, Tags
from constructs import Construct

from infra.alarms import Alarms
from infra.dashboard import Dashboard
from infra.log_groups import log_group
from infra.monitoring import AlertTopic, JobMonitor
from infra.network import Network, zones
from infra.settings import StageSettings
from infra.storage import Storage
from infra.submitter import UPLOADS_TIMEOUT, Submitter
from infra.triggers import FunctionUrl, Schedule, UploadNotifications
from infra.worker_kind import WorkerKind

_REPLACED = ["AWS::Batch::JobQueue", "AWS::Batch::ComputeEnvironment", "AWS::Batch::JobDefinition"]
"""CloudFormation replaces these when their tags change, which would end running jobs. They get no tag."""


class StageStack(Stack):
    """Everything that a stage needs. Nothing is shared, so several stages can live in one account."""

    def __init__(self, scope: Construct, settings: StageSettings) -> None:
        self.settings = settings
        super().__init__(
            scope,
            settings.name,
            stack_name=settings.name,
            description="embedder: images of a bucket become vectors in a table",
            env=Environment(account=settings.account or None, region=settings.region or None),
        )
        storage = Storage(self, settings)
        network = Network(self, settings, storage)
        group = log_group(self, "WorkerLog", settings)
        workers = {kind: WorkerKind(self, settings, kind, network, storage, group) for kind in settings.workers}
        first = workers[settings.workers[0]]
        queues = [each.queue for each in workers.values()]
        alerts = AlertTopic(self, settings, queues)
        submitter = Submitter(self, "Submitter", settings, storage, first)
        submitter.report_to(alerts.topic)
        JobMonitor(self, settings, queues)
        alarms = Alarms(self, settings, alerts.topic, storage, submitter.function)
        Dashboard(self, settings, storage, submitter.function)
        if settings.schedule:
            Schedule(self, settings, submitter)
        if settings.notify:
            reader = Submitter(self, "UploadSubmitter", settings, storage, first, UPLOADS_TIMEOUT)
            alarms.put_aside(UploadNotifications(self, settings, storage, reader).put_aside)
        if settings.function_url:
            FunctionUrl(self, submitter)
        self._tag()
        outputs = {
            "BucketName": storage.bucket.bucket_name,
            "TableName": storage.table.table_name,
            "SubmitterName": submitter.function.function_name,
            "TopicArn": alerts.topic.topic_arn,
            "WorkerLogGroup": group.log_group_name,
            **{f"{kind.capitalize()}Queue": each.queue for kind, each in workers.items()},
            **{f"{kind.capitalize()}Definition": each.definition for kind, each in workers.items()},
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)

    def _tag(self) -> None:
        """Tag what can be tagged in place.

        The stack itself gets no tags: CloudFormation would hand them on to everything in it, Batch's resources too. The
        flag `explicitStackTags` in cdk.json sees to that.
        """
        own = {
            "embedder-stage": self.settings.stage,
            "devops-guru-embedder": self.settings.stage,  # for accounts that still use DevOps Guru, until 2027-09-30
        }
        for name, value in {**self.settings.tags, **own}.items():
            Tags.of(self).add(name, value, exclude_resource_types=_REPLACED)

    @property
    def availability_zones(self) -> list[str]:
        """The zones that the settings name, else the first ones of the region, for which no account is asked."""
        named = self.settings.zones
        return list(named) or [Fn.select(number, Fn.get_azs()) for number in range(zones(self.settings))]
