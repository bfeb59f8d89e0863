"""Which processor this is, and how many of its cores this process may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from embedder.system.files import read_text

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux states a container's limits: in `cpu.max` (version 2) or `cpu/` (version 1)."""

CPUINFO = Path("/proc/cpuinfo")
TELLING = ("amx_bf16", "amx_tile", "avx512_bf16", "avx512f", "avx2", "sve", "asimd")
"""CPU features that decide an engine's speed, most significant first."""


def processor(cpuinfo: Path = CPUINFO) -> str:
    """Name the processor and its most significant feature, as far as the system tells: `AMD EPYC 7B13, avx2`."""
    flags = processor_flags(cpuinfo)
    telling = [flag for flag in TELLING if flag in flags][:1]
    return ", ".join([_cpuinfo(cpuinfo).get("model name") or platform.machine(), *telling])


def processor_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Return the processor's features by Linux's names, such as `avx2`; none where the system does not tell."""
    fields = _cpuinfo(cpuinfo)
    return frozenset((fields.get("flags") or fields.get("Features", "")).split())


def _cpuinfo(path: Path) -> dict[str, str]:
    lines = (read_text(path) or "").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


_share: ContextVar[int | None] = ContextVar("share", default=None)


@contextmanager
def sharing(cores: int | None) -> Iterator[None]:
    """Cap `usable_cores` within this block, in this thread; None sets no cap.

    Several containers share an EC2 machine by weights under ECS, and each of them sees all of its processors.
    """
    token = _share.set(cores or _share.get())
    try:
        yield
    finally:
        _share.reset(token)


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Count the processors to use: the least of the affinity mask, the container's quota and the cap of `sharing`."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [seen, cpu_quota(cgroup), _share.get()]
    return max(1, min(round(each) for each in limits if each is not None))


def cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """Return how many processors' time the container may use, as `docker run --cpus` sets it; None for no limit."""
    text = read_text(cgroup / "cpu.max")
    if text is not None:
        share, _, period = text.partition(" ")
        return None if share == "max" else int(share) / int(period)
    share, period = (read_text(cgroup / "cpu" / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
    return int(share) / int(period) if share.isdecimal() and period.isdecimal() else None
