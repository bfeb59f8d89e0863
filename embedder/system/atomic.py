"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from embedder.errors import ConfigurationError, TransientError

ABANDONED_SECONDS = 60.0
"""A part that nobody holds is swept away when it is older; a younger one may be about to be locked."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; it takes the place of `path` at the end.

    Whatever is raised inside leaves `path` as it was. A process that is killed leaves its part behind, until the
    next one that writes the same file sweeps it away.

    Raises:
        OSError: the name cannot be written.
    """
    _sweep(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # others may write the same file
    try:
        with part.open("wb") as held:  # say now, and not after the work, that it cannot be written
            fcntl.flock(held, fcntl.LOCK_EX)  # goes with the process
            yield part
            os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def writing(path: Path, called: str = "") -> Iterator[Path]:
    """Do as `replacing` does, for a file that somebody asked for.

    Args:
        called: the option that named it, for the error's sentence.

    Raises:
        ConfigurationError: it cannot be written there.
        TransientError: the disk is full.
    """
    try:
        with replacing(path) as part:
            yield part
    except OSError as error:
        kind = TransientError if error.errno == errno.ENOSPC else ConfigurationError
        raise kind(f"{called} {path} cannot be written: {error.strerror or error}".lstrip()) from error


def _sweep(path: Path) -> None:
    """Delete the parts of writers that have been killed."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
        with suppress(OSError), part.open("rb") as file:
            if part.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
