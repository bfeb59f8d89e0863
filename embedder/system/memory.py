"""Memory: what a run may hold at once, the most that comes to, and how much there is."""

from __future__ import annotations

import os
from pathlib import Path

from embedder.system.cores import CGROUP
from embedder.system.files import read_text

FILE_BYTES = 256 << 20
"""Image files waiting for or in each of fetch and decode; one larger file goes alone."""

DECODED_BYTES = 1 << 30
"""Pictures at full size, over all decoding processes; one larger picture goes alone."""

MODEL_BYTES = 1 << 30
"""torch, the model, and its intermediate results."""

WORKER_BYTES = 128 << 20
"""A decoding process, the small pictures for which it does not ask, and its share of batches."""


def most_needed(workers: int) -> int:
    """Return the most bytes that a run with so many decoding processes holds."""
    return 2 * FILE_BYTES + DECODED_BYTES + MODEL_BYTES + workers * WORKER_BYTES


def memory_limit(cgroup: Path = CGROUP) -> tuple[int, str]:
    """Return the bytes that this process and its children may hold, and whose limit that is."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        text = read_text(path)
        if text and text.isdecimal() and int(text) < machine:
            return int(text), "in the container"
    return machine, "in the machine"
