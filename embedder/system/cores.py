"""How many processors this process may use, and which."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may use: in `cpu.max` (version 2) or `cpu/` (version 1)."""

CPUINFO = Path("/proc/cpuinfo")
WIDEST = ("amx_tile", "avx512f", "avx2", "sve", "asimd")
"""Flags of what an engine's speed hangs on, the most telling first."""


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name and its widest instructions, as far as the system says: `AMD EPYC 7B13, avx2`."""
    lines = (_read(cpuinfo) or "").splitlines()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = (fields.get("flags") or fields.get("Features", "")).split()
    widest = [flag for flag in WIDEST if flag in flags][:1]
    return ", ".join([fields.get("model name") or platform.machine(), *widest])


_share: ContextVar[int | None] = ContextVar("share", default=None)


@contextmanager
def sharing(cores: int | None) -> Iterator[None]:
    """Have `usable_cores` say no more than so many meanwhile, in this thread; None changes nothing.

    For a machine that several processes share by weights, as ECS's containers do on EC2: each sees all of it.
    """
    token = _share.set(cores or _share.get())
    try:
        yield
    finally:
        _share.reset(token)


def usable_cores(cgroup: Path = CGROUP) -> int:
    """The cores in this process's affinity mask, or the container's quota or this process's share where less."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [seen, cpu_quota(cgroup), _share.get()]
    return max(1, min(round(each) for each in limits if each is not None))


def cpu_quota(cgroup: Path = CGROUP) -> float | None:
    """Processors' worth of time that the container may use, as `docker run --cpus` sets it; None without a limit."""
    text = _read(cgroup / "cpu.max")
    if text is not None:
        share, _, period = text.partition(" ")
        return None if share == "max" else int(share) / int(period)
    share, period = (_read(cgroup / "cpu" / f"cpu.cfs_{name}_us") or "" for name in ("quota", "period"))
    return int(share) / int(period) if share.isdecimal() and period.isdecimal() else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
