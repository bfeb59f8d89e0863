"""What this machine, or the container's share of it, lets a run have."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

from embedder.doctor import Finding, ok
from embedder.system.cores import CGROUP, cpu_quota, usable_cores

SHARED_MEMORY = Path("/dev/shm")

BASE_BYTES = 3 << 29
"""The two budgets of files and the one of pictures (see `Pipeline`) when they are filled at once."""
MODEL_BYTES = 1 << 30
"""torch, the model, and its intermediate results."""
WORKER_BYTES = 128 << 20
"""A decoding process and its share of batches."""

BASE_FILES, WORKER_FILES = 192, 8
LEAST_SHARED_BYTES = 16 << 20


def cores() -> Finding:
    """The processors in reach; a run starts a decoding process and a lane of the model for each."""
    quota = cpu_quota()
    return ok(f"{usable_cores()} cores" + (f", by the container's quota of {quota:g}" if quota else ""))


def memory(workers: int | None) -> Finding:
    """The memory that the container or the machine has, against the most that a run takes."""
    limit, whose = memory_limit()
    needed = BASE_BYTES + MODEL_BYTES + (workers or usable_cores()) * WORKER_BYTES
    found = f"{size(limit)} {whose}, a run takes at most about {size(needed)}"
    if limit < needed:
        return Finding("warning", found, "give the job or container more memory, or fewer --workers")
    return ok(found)


def memory_limit(cgroup: Path = CGROUP) -> tuple[int, str]:
    """Bytes, and whose limit that is."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        text = _read(path)
        if text and text.isdecimal() and int(text) < machine:
            return int(text), "in the container"
    return machine, "in the machine"


def shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    """Decoding does without it; libraries underneath may want a little."""
    if not folder.is_dir():
        return Finding(
            "warning", f"there is no {folder}", "start the container with --shm-size 64m or sharedMemorySize"
        )
    free = shutil.disk_usage(folder).free
    if free < LEAST_SHARED_BYTES:
        return Finding(
            "warning",
            f"{size(free)} are free in {folder}",
            "start the container with --shm-size 64m or sharedMemorySize",
        )
    return ok(f"{size(free)} free in {folder}; decoding does not need it")


def descriptors(workers: int | None) -> Finding:
    """Open files: pipes to the decoding processes, connections, images."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = BASE_FILES + WORKER_FILES * (workers or usable_cores())
    found = f"{limit:,} open files are allowed, a run needs about {needed}"
    if limit < needed:
        return Finding("warning", found, "raise the limit: ulimit -n 4096, or the container's ulimit nofile")
    return ok(found)


def size(count: int) -> str:
    """Bytes for a person: `1.5 GiB`."""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
