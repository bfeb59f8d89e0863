"""Folders that a run writes to: is there room, and may it?"""

from __future__ import annotations

import shutil
from pathlib import Path

from embedder.config import cache_folder
from embedder.doctor import Finding, ok, skipped
from embedder.doctor.machine import size
from embedder.system.files import find_folder, try_writing

FULL_BYTES = 64 << 20
LEAST_BYTES = 1 << 30


def cache() -> Finding:
    """Where models made ready for fast engines are kept."""
    folder = cache_folder()
    if folder is None:
        return Finding(
            "warning", "there is no home to keep prepared models in", "set XDG_CACHE_HOME to a writable folder"
        )
    found = _room(folder)
    if found.status == "failed":
        remedy = "set XDG_CACHE_HOME to a writable folder with room: without it every start prepares the model again"
        return Finding("warning", found.found, remedy)
    return found


def temporary() -> Finding:
    """Python's folder for temporary files."""
    return _room(find_folder("a model whose cache cannot be written"))


def store_folder(store: str) -> Finding:
    """The disk of a SQLite store."""
    folder = Path(store).absolute().parent
    return _room(folder) if folder.is_dir() else skipped(f"there is no folder {folder}")


def _room(folder: Path) -> Finding:
    """Whether something can be written there: tried with a file that has no name, or is gone at once."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    free = shutil.disk_usage(nearest).free
    found = f"{size(free)} free in {folder}"
    try:
        try_writing(nearest)
    except OSError as error:
        return Finding(
            "failed", f"{folder} cannot be written: {error.strerror}", "make room there, or check its permissions"
        )
    if free < FULL_BYTES:
        return Finding(
            "failed", found, "make room: a run writes 2 KiB an image, and prepared models about 100 MiB once"
        )
    if free < LEAST_BYTES:
        return Finding(
            "warning", found, "make room: a run writes 2 KiB an image, and prepared models about 100 MiB once"
        )
    return ok(found)
