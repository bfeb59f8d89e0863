"""How many processors this process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """The cores in this process's affinity mask, which containers and taskset narrow."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
