"""What a worker of each kind gets of its machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSize:
    """A little less memory than the worker's share of the machine, because ECS keeps some for itself."""

    vcpus: int
    memory_mib: int
    gpus: int = 0


SIZES = {
    "cpu": WorkerSize(vcpus=2, memory_mib=7000),  # half of an m7i.xlarge, which has 16 GiB
    "gpu": WorkerSize(vcpus=4, memory_mib=14000, gpus=1),  # a g4dn.xlarge, which has 16 GiB
}
