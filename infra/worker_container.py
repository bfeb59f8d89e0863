"""A worker's container, in Batch's own words: the job definition says it, and the simulation starts workers by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.worker_sizes import SIZES

SHARED_MEMORY_MIB = 1024
TEMPORARY_MIB = 1024


def container_properties(kind: str, region: str, variables: Mapping[str, str]) -> dict[str, Any]:
    """Return a job definition's `containerProperties`, without what an account adds: image, roles and log.

    Args:
        kind: `cpu` or `gpu`.
        region: the region, which Batch does not tell its containers, and without which boto3 refuses DynamoDB.
        variables: more variables for the worker.
    """
    size = SIZES[kind]
    needs = {"VCPU": size.vcpus, "MEMORY": size.memory_mib} | ({"GPU": size.gpus} if size.gpus else {})
    # ECS divides a machine by weights, so a worker sees all processors and would start a decoder for each. A worker
    # with a GPU has the machine to itself and may use them all.
    cores = {} if size.gpus else {"EMBEDDER_CORES": str(size.vcpus)}
    environment = {**cores, **variables, "AWS_DEFAULT_REGION": region}
    return {
        "command": ["run"],
        "resourceRequirements": [{"type": name, "value": str(value)} for name, value in needs.items()],
        "environment": [{"name": name, "value": value} for name, value in environment.items()],
        "privileged": False,
        "readonlyRootFilesystem": True,
        "linuxParameters": {
            "initProcessEnabled": True,  # forwards SIGTERM and reaps decoders
            "sharedMemorySize": SHARED_MEMORY_MIB,
            "tmpfs": [{"containerPath": "/tmp", "size": TEMPORARY_MIB, "mountOptions": ["rw", "nosuid", "nodev"]}],
        },
    }
