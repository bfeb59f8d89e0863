"""A disk whose power can be cut: what was not synced by then is not there afterwards."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest


@contextmanager
def _mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    # Without these, ext4 would sync some replaced files by itself, and everything every five seconds.
    command = ["mount", "-o", "loop,noauto_da_alloc,commit=600", str(image), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a file system is not allowed here: {done.stderr}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@dataclass(frozen=True, slots=True)
class Disk:
    """An ext4 file system that lies in a file."""

    image: Path
    folder: Path

    @contextmanager
    def after_a_power_cut(self) -> Iterator[Path]:
        """Give the disk as it would be found if the power were cut now: a copy of the blocks written so far."""
        with tempfile.TemporaryDirectory(dir=self.image.parent) as name:
            copy = shutil.copy(self.image, name)
            with _mounted(Path(copy), Path(name) / "disk") as folder:
                yield folder


@contextmanager
def make_disk(folder: Path) -> Iterator[Disk]:
    """Make a disk of 16 megabytes, if this process may mount one."""
    if shutil.which("mkfs.ext4") is None or shutil.which("mount") is None:
        pytest.skip("there is no mkfs.ext4 here")
    image = folder / "disk.image"
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with _mounted(image, folder / "disk") as mounted:
        yield Disk(image, mounted)
