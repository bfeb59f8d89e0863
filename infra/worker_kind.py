"""One kind of worker, `cpu` or `gpu`: its image, machines, queue and job definition."""

from __future__ import annotations

from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.container_image import ContainerImage
from infra.job_definition import JobDefinition
from infra.machines import Machines
from infra.network import Network
from infra.settings import StageSettings
from infra.storage import Storage


class WorkerKind(Construct):
    """`queue` and `definition` are ARNs; the definition's includes its revision."""

    def __init__(
        self,
        scope: Construct,
        settings: StageSettings,
        kind: str,
        network: Network,
        storage: Storage,
        group: logs.LogGroup,
    ) -> None:
        super().__init__(scope, {"cpu": "CpuWorkers", "gpu": "GpuWorkers"}[kind])
        self.queue = Machines(self, settings, kind, network).queue.attr_job_queue_arn
        image = ContainerImage(self, settings, kind)
        self.definition = JobDefinition(self, settings, kind, storage, image, group).definition.ref
