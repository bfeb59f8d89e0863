"""Checks of the folders that a run writes to: is there space, and may the run write?"""

from __future__ import annotations

import shutil
from pathlib import Path

from embedder.config import cache_folder
from embedder.doctor import Finding, ok, skipped
from embedder.doctor.machine import size
from embedder.system.files import find_folder, try_writing

FULL_BYTES = 64 << 20
LEAST_BYTES = 1 << 30
FREE_SPACE = "free some space: a run writes 2 KiB for each image, and about 100 MiB once for prepared models"


def cache() -> Finding:
    """Check the cache of models prepared for the fast engines."""
    folder = cache_folder()
    if folder is None:
        return Finding(
            "warning",
            "there is no home folder for the cache of prepared models",
            "set XDG_CACHE_HOME to a writable folder",
        )
    found = _room(folder)
    if found.status == "failed":
        remedy = "set XDG_CACHE_HOME to a writable folder with space: without a cache every start prepares the model"
        return Finding("warning", found.found, remedy)
    return found


def temporary() -> Finding:
    """Check the folder for temporary files."""
    return _room(find_folder("a model whose cache cannot be written"))


def store_folder(store: str) -> Finding:
    """Check the disk of a SQLite store."""
    folder = Path(store).absolute().parent
    return _room(folder) if folder.is_dir() else skipped(f"there is no folder {folder}")


def _room(folder: Path) -> Finding:
    """Check a folder for free space, and write a file that has no name or is deleted at once."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    free = shutil.disk_usage(nearest).free
    found = f"{size(free)} free in {folder}"
    try:
        try_writing(nearest)
    except OSError as error:
        return Finding(
            "failed", f"{folder} cannot be written: {error.strerror}", "free space there, or check its permissions"
        )
    if free < FULL_BYTES:
        return Finding("failed", found, FREE_SPACE)
    if free < LEAST_BYTES:
        return Finding("warning", found, FREE_SPACE)
    return ok(found)
