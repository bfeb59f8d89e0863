"""Memory: the budgets of a run, their sum, and the limit of the machine or container."""

from __future__ import annotations

import os
from pathlib import Path

from embedder.system.cores import CGROUP
from embedder.system.files import read_text

FILE_BYTES = 256 << 20
"""Bytes of image files in each of fetch and decode, waiting ones included. A larger file is processed alone."""

DECODED_BYTES = 1 << 30
"""Bytes of pictures at full size, over all decoding processes. A larger picture is decoded alone."""

MODEL_BYTES = 1 << 30
"""Bytes for torch, the model, and its intermediate results."""

WORKER_BYTES = 128 << 20
"""Bytes for a decoding process: itself, small pictures, which need no reservation, and its share of batches."""


def most_needed(workers: int) -> int:
    """Return the most bytes that a run with this number of decoding processes holds."""
    return 2 * FILE_BYTES + DECODED_BYTES + MODEL_BYTES + workers * WORKER_BYTES


def memory_limit(cgroup: Path = CGROUP) -> tuple[int, str]:
    """Return how many bytes this process and its children may hold, and whether the limit is the container's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        text = read_text(path)
        if text and text.isdecimal() and int(text) < machine:
            return int(text), "in the container"
    return machine, "in the machine"
