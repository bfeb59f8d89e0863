"""Files and folders that are gone after their use, and sentences where there is no room for them."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from embedder.errors import ConfigurationError, TransientError

PREFIX = "embedder-"

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A full disk, a full quota, and a limit on the size of files."""


def find_folder(needed_by: str) -> Path:
    """Return where temporary files go: what TMPDIR names, else the first usable one of `/tmp` and its like.

    Args:
        needed_by: what would be done there, for the sentence.

    Raises:
        ConfigurationError: none of them can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # each has been tried by writing there
        raise ConfigurationError(
            f"no folder for temporary files can be written, and {needed_by} needs one; in a container with a "
            "read-only root, mount one: --tmpfs /tmp; elsewhere make room in /tmp, or let TMPDIR name another"
        ) from None


@contextmanager
def temporary_file(needed_by: str) -> Iterator[IO[bytes]]:
    """Give a file without a name, to be written and read.

    Args:
        needed_by: as of `find_folder`.

    Raises:
        ConfigurationError: there is no folder for it.
        TransientError: it has grown, and there is no more room.
    """
    with _room(needed_by) as folder, tempfile.TemporaryFile(prefix=PREFIX, dir=folder) as file:
        yield file


@contextmanager
def temporary_folder(needed_by: str) -> Iterator[Path]:
    """Give an empty folder; see `temporary_file`."""
    with _room(needed_by) as parent, tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent) as folder:
        yield Path(folder)


@contextmanager
def _room(needed_by: str) -> Iterator[Path]:
    folder = find_folder(needed_by)
    try:
        yield folder
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise TransientError(
            f"temporary files find no more room in {folder}: {error.strerror}; make some and run again, or let "
            "TMPDIR name another folder"
        ) from error
