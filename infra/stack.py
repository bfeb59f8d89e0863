"""The stack of one stage: joins the nouns, and says where everything is."""

from __future__ import annotations

from aws_cdk import CfnOutput, Environment, Fn, Stack, Tags
from constructs import Construct

from infra.alarms import Alarms
from infra.dashboard import Dashboard
from infra.log_groups import log_group
from infra.monitoring import AlertTopic, JobMonitor
from infra.network import ZONES, Network
from infra.settings import StageSettings
from infra.storage import Storage
from infra.submitter import Submitter
from infra.triggers import FunctionUrl, Schedule, UploadNotifications
from infra.worker_kind import WorkerKind


class StageStack(Stack):
    """Everything a stage needs, and nothing that another stage has: several live in one account."""

    def __init__(self, scope: Construct, settings: StageSettings) -> None:
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
        submitter = Submitter(self, settings, storage, workers[settings.workers[0]])
        queues = [each.queue for each in workers.values()]
        JobMonitor(self, settings, queues)
        mail = AlertTopic(self, settings, queues)
        alarms = Alarms(self, settings, mail.topic, storage, submitter.function)
        Dashboard(self, settings, storage, submitter.function)
        if settings.schedule:
            Schedule(self, settings, submitter)
        if settings.notify:
            alarms.put_aside(UploadNotifications(self, settings, storage, submitter).put_aside)
        if settings.function_url:
            FunctionUrl(self, submitter)
        Tags.of(self).add("embedder-stage", settings.stage)
        Tags.of(self).add("devops-guru-embedder", settings.stage)  # for accounts that still use it, until 2027-09-30
        outputs = {
            "BucketName": storage.bucket.bucket_name,
            "TableName": storage.table.table_name,
            "SubmitterName": submitter.function.function_name,
            "TopicArn": mail.topic.topic_arn,
            "WorkerLogGroup": group.log_group_name,
            **{f"{kind.capitalize()}Queue": each.queue for kind, each in workers.items()},
            **{f"{kind.capitalize()}Definition": each.definition for kind, each in workers.items()},
        }
        for name, value in outputs.items():
            CfnOutput(self, name, value=value)

    @property
    def availability_zones(self) -> list[str]:
        """The first ones of the region, whichever it is: so nobody has to ask an account for them."""
        return [Fn.select(number, Fn.get_azs()) for number in range(ZONES)]
