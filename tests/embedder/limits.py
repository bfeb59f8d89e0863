"""Limits that the kernel holds for this process, root or not."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: with none, no folder can be written, not even by root."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def peak_megabytes() -> float:
    """The most memory that this process has had.

    `ru_maxrss` is no use in a process that a large one has started: it begins at the size of that one.
    """
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
