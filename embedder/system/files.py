"""Files: those that appear whole or not at all, temporary ones, and what it means that a disk is full."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from embedder.errors import ConfigurationError, EmbedderError, TransientError

PREFIX = "embedder-"
"""The beginning of every temporary file's name."""

ABANDONED_SECONDS = 60.0
"""An unlocked part older than this was left by a killed writer; a younger one may be about to be locked."""

NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A full disk, a full quota, and a limit on the size of a file."""

UNSYNCED = frozenset({errno.EINVAL, errno.EACCES})
"""Some file systems cannot sync a folder, and a folder that may be written need not be readable."""


def is_out_of_space(error: OSError) -> bool:
    """Return whether a write failed for want of space, so that it may succeed once there is some."""
    return error.errno in NO_SPACE


def out_of_space(what: str, error: OSError | None = None, *, instead: str = "") -> TransientError:
    """Return the error for a disk that is full.

    Args:
        what: found no space, for the sentence.
        error: names the limit where it is another than the disk's size.
        instead: another remedy.
    """
    limit = f" ({error.strerror})" if error is not None and error.errno != errno.ENOSPC else ""
    return TransientError(f"no space left for {what}{limit}; free some and run again" + (instead and f", or {instead}"))


def unwritable(what: str, error: OSError, remedy: str = "") -> EmbedderError:
    """Return the error for a file that cannot be written: transient if the disk is full, else for the user to mend."""
    if is_out_of_space(error):
        return out_of_space(what, error)
    return ConfigurationError(f"{what} cannot be written: {error.strerror or error}" + (remedy and f"; {remedy}"))


class Replacement:
    """A file under a temporary name, until it is complete and takes the place of `path`.

    A process that is killed, or a disk that fails, leaves the temporary file behind; a later writer of the same path
    deletes it.

    Raises:
        OSError: no file can be written there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _delete_abandoned(path)
        self.part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # others may write the same path
        self.held = self.part.open("wb")
        self.kept = False
        try:
            fcntl.flock(self.held, fcntl.LOCK_EX)  # released when the process ends, however it ends
        except OSError:
            self.close()
            raise

    def keep(self) -> None:
        """Let the part take the place of `path`.

        Both are synced: after a power cut `path` holds all of the old content or all of the new, and once this has
        returned, the new.

        Raises:
            OSError: the disk is full, or breaks.
        """
        with self.part.open("rb") as file:  # whoever wrote it may have put another file under the name of the part
            os.fsync(file.fileno())
        os.replace(self.part, self.path)
        self.kept = True
        _sync_folder(self.path.parent)

    def close(self) -> None:
        """Delete the part, unless it was kept. If that fails, nothing is lost but its space, until a later writer."""
        self.held.close()
        if not self.kept:
            with suppress(OSError):
                self.part.unlink()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; the file takes the place of `path` at the end.

    If the block raises, `path` stays as it was.

    Raises:
        OSError: the file cannot be written; where it cannot even be created, before the block is entered.
    """
    replacement = Replacement(path)
    try:
        yield replacement.part
        replacement.keep()
    finally:
        replacement.close()


@contextmanager
def writing(path: Path, option: str = "") -> Iterator[Path]:
    """Do as `replacing` does, for a file that a user asked for; the block does nothing but write it.

    Args:
        option: the one that named the file, for the error's sentence.

    Raises:
        ConfigurationError: the file cannot be written.
        TransientError: the disk is full.
    """
    try:
        with replacing(path) as part:
            yield part
    except OSError as error:
        raise unwritable(f"{option} {path}".lstrip(), error) from error


def check_folder(path: Path, what: str) -> None:
    """Find out, before any work is spent, whether a file has a folder to be written to.

    Args:
        what: the file, for the sentence.

    Raises:
        ConfigurationError: the folder does not exist.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"{what}: there is no folder {path.parent}; make it first")


def check_access(path: Path) -> None:
    """Ask whether an existing file or folder may be written, without opening it.

    Raises:
        OSError: it may not.
    """
    if not os.access(path, os.W_OK):
        code = errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES
        raise OSError(code, os.strerror(code))


def try_writing(folder: Path) -> None:
    """Write a byte to a file without a name, which nobody else can meet.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x")


def read_text(path: Path) -> str | None:
    """Return a small file's text without the space around it, None if it cannot be read."""
    try:
        return path.read_text().strip()
    except OSError:
        return None


def recall(path: Path) -> dict[str, Any]:
    """Return what `remember` wrote; nothing if there is no such file, or something else in it."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def remember(path: Path, facts: dict[str, Any]) -> None:
    """Write facts as JSON for a later run, if that is possible: a cache may be read-only, or its disk full."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            part.write_text(json.dumps(facts))


def find_folder(needed_by: str) -> Path:
    """Return the folder for temporary files: that of TMPDIR, else the first usable one of `/tmp` and its like.

    Args:
        needed_by: what needs a temporary file, for the sentence.

    Raises:
        ConfigurationError: none of them can be written.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # raised after it has tried to write to each of them
        raise ConfigurationError(
            f"no folder for temporary files can be written, and {needed_by} needs one; in a container with a "
            "read-only root, mount one: --tmpfs /tmp; elsewhere free space in /tmp, or let TMPDIR name another folder"
        ) from None


@contextmanager
def temporary_file(needed_by: str) -> Iterator[IO[bytes]]:
    """Give a file without a name, to be written and read.

    Args:
        needed_by: as of `find_folder`.

    Raises:
        ConfigurationError: there is no folder for it.
        TransientError: the disk is full.
    """
    with _space(needed_by) as folder, tempfile.TemporaryFile(prefix=PREFIX, dir=folder) as file:
        yield file


@contextmanager
def temporary_folder(needed_by: str) -> Iterator[Path]:
    """Give an empty folder, which is deleted afterwards; for the rest see `temporary_file`."""
    with _space(needed_by) as parent, tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent) as folder:
        yield Path(folder)


@contextmanager
def _space(needed_by: str) -> Iterator[Path]:
    folder = find_folder(needed_by)
    try:
        yield folder
    except OSError as error:
        if not is_out_of_space(error):
            raise
        where = f"temporary files in {folder}"
        raise out_of_space(where, error, instead="let TMPDIR name another folder") from error


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder outlast a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise


def _delete_abandoned(path: Path) -> None:
    """Delete the parts of writers that were killed."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.????????.part"):
        with suppress(OSError), part.open("rb") as file:
            if part.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                part.unlink()
