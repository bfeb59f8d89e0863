"""Checks of the machine, or of the container's share of it: cores, memory, open files."""

from __future__ import annotations

import resource
import shutil
import sys
from pathlib import Path

from embedder.doctor import Finding, ok
from embedder.system.cores import CGROUP, cpu_quota, usable_cores
from embedder.system.memory import memory_limit, most_needed

SHARED_MEMORY = Path("/dev/shm")


BASE_FILES, WORKER_FILES = 192, 8
READER_FILES = 2
"""Connections for each object that is read at the same time: one of boto3's and one that bypasses boto3."""
LEAST_SHARED_BYTES = 16 << 20


def cores() -> Finding:
    """Count the cores. A run starts a decoding process and a lane of the model for each."""
    quota = cpu_quota()
    return ok(f"{usable_cores()} cores" + (f", by the container's quota of {quota:g}" if quota else ""))


def memory(workers: int | None, cgroup: Path = CGROUP) -> Finding:
    """Compare the memory of the container or machine with the most that a run takes."""
    limit, whose = memory_limit(cgroup)
    needed = most_needed(workers or usable_cores())
    found = f"{size(limit)} {whose}, a run takes at most about {size(needed)}"
    if limit < needed:
        return Finding("warning", found, "give the job or container more memory, or fewer --workers")
    return ok(found)


def shared_memory(folder: Path = SHARED_MEMORY) -> Finding:
    """Check the shared memory. Decoding does not use it, but other libraries may use a little."""
    if not folder.is_dir() and sys.platform != "linux":
        return ok("not there on this system; decoding does not need it")
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


def descriptors(workers: int | None, readers: int = 0) -> Finding:
    """Compare the limit on open files with a run's pipes, connections and images.

    Args:
        workers: decoding processes; None means one for each core.
        readers: objects that are read from S3 at the same time.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = BASE_FILES + WORKER_FILES * (workers or usable_cores()) + READER_FILES * readers
    found = f"{limit:,} open files are allowed, a run needs about {needed}"
    if limit < needed:
        return Finding("warning", found, "raise the limit: ulimit -n 4096, or the container's ulimit nofile")
    return ok(found)


def size(count: int) -> str:
    """Return a number of bytes as text, such as `1.5 GiB`."""
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"
