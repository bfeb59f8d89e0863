"""The EC2 instance types that workers can run on: architecture, memory, GPUs.

A table, because a stage is synthesized without an account. It holds families; a size says how many vCPUs there are.
https://docs.aws.amazon.com/ec2/latest/instancetypes/
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_VCPUS = {"medium": 1, "large": 2, "xlarge": 4}
"""Of the sizes without a number; `2xlarge` has twice the vCPUs of `xlarge`, and so on."""
_KEPT = 0.93
"""The part of a machine's memory that ECS hands out; the rest is for the system and the agent."""
_FAMILIES = {
    # architecture, GiB for each vCPU
    **dict.fromkeys(("m5", "m5a", "m5n", "m6i", "m6a", "m6in", "m7a", "m8a"), ("x86_64", 4)),
    **dict.fromkeys(("m7i", "m7i-flex", "m8i", "m8i-flex"), ("x86_64", 4)),
    **dict.fromkeys(("c5", "c5a", "c6i", "c6a", "c7a", "c8a"), ("x86_64", 2)),
    **dict.fromkeys(("c7i", "c7i-flex", "c8i", "c8i-flex"), ("x86_64", 2)),
    **dict.fromkeys(("r5", "r5a", "r6i", "r6a", "r7a", "r8a", "r7i", "r8i"), ("x86_64", 8)),
    **dict.fromkeys(("m6g", "m6gd", "m7g", "m7gd", "m8g", "m8gd"), ("arm64", 4)),
    **dict.fromkeys(("c6g", "c6gd", "c7g", "c7gd", "c8g", "c8gd"), ("arm64", 2)),
    **dict.fromkeys(("r6g", "r6gd", "r7g", "r7gd", "r8g", "r8gd"), ("arm64", 8)),
}
_GPU_FAMILIES = {"g4dn": 4, "g5": 4, "g6": 4, "g6e": 8}
"""GiB for each vCPU. The sizes with one GPU."""
_ONE_GPU = ("xlarge", "2xlarge", "4xlarge", "8xlarge", "16xlarge")
_AMX = re.compile(r"[mcr](7|8)i(-flex)?\.")
"""Sapphire Rapids and later, whose bfloat16 makes a worker several times as fast."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """A type, as far as a worker is concerned."""

    name: str
    architecture: str
    """`x86_64` or `arm64`."""
    vcpus: int
    memory_mib: int
    """What ECS hands out to workers."""
    gpus: int = 0

    @property
    def amx(self) -> bool:
        return bool(_AMX.match(self.name))

    def workers(self, vcpus: int, memory_mib: int, gpus: int) -> int:
        """Return how many workers fit on a machine."""
        fitting = min(self.vcpus // vcpus, self.memory_mib // memory_mib)
        return min(fitting, self.gpus // gpus) if gpus else fitting


def instance_type(name: str) -> InstanceType | None:
    """Look a type up by its name, such as `m7i.xlarge`; None if the table does not have it."""
    family, _, size = name.partition(".")
    numbered = re.fullmatch(r"(\d+)xlarge", size)
    vcpus = 4 * int(numbered[1]) if numbered else _VCPUS.get(size, 0)
    if family in _GPU_FAMILIES:
        architecture, ratio, gpus = "x86_64", _GPU_FAMILIES[family], int(size in _ONE_GPU)
    elif family in _FAMILIES:
        (architecture, ratio), gpus = _FAMILIES[family], 0
    else:
        return None
    if not vcpus or (family in _GPU_FAMILIES and not gpus):
        return None
    memory = int(vcpus * ratio * 1024 * _KEPT)
    return InstanceType(name=name, architecture=architecture, vcpus=vcpus, memory_mib=memory, gpus=gpus)
