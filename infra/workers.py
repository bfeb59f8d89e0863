"""One kind of worker, `cpu` or `gpu`: image, machines, queue and job definition."""

from __future__ import annotations

from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.image import Image
from infra.job import Job
from infra.machines import Machines
from infra.network import Network
from infra.settings import Settings
from infra.storage import Storage


class Workers(Construct):
    """`queue` and `definition` are ARNs, the latter's with its revision."""

    def __init__(
        self, scope: Construct, settings: Settings, kind: str, network: Network, storage: Storage, group: logs.LogGroup
    ) -> None:
        super().__init__(scope, {"cpu": "CpuWorkers", "gpu": "GpuWorkers"}[kind])
        self.queue = Machines(self, settings, kind, network).queue.attr_job_queue_arn
        image = Image(self, settings, kind)
        self.definition = Job(self, settings, kind, storage, image, group).definition.ref
