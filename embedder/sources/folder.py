"""Images on a local disk: a folder with everything below it, or one file."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from embedder.errors import ImageError, TransientError
from embedder.records import Failure, Reference, Sample
from embedder.sources import Selection
from embedder.sources.naming import image_id, unique_stems
from submitter.manifest import no_picture

FILE_SCHEME = "file://"

SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors that mean that the machine lacks a resource. The file itself may be good."""

FILE_READERS = 4
"""Files that are read at the same time: enough for a disk that seeks and for a network file system."""


class FolderSource:
    """The images in a folder, sorted by name, or a single file; see `Source`.

    Links are followed, except a link to a folder that contains it. If a name is not UTF-8, its id has each undecodable
    byte as `\\xNN`.
    """

    readers = FILE_READERS
    remote = False

    def __init__(self, path: Path, selection: Selection) -> None:
        self.name = str(path)
        self.path = path
        self.selection = selection
        self.ignored: Counter[str] = Counter()
        self.is_folder = os.path.isdir(path)  # asked once, and never raises
        self.total: int | None = None if self.is_folder else 1

    def references(self) -> Iterator[Reference | Failure]:
        found = self._list() if self.is_folder else iter([self._reference(self.path, self.path.name)])
        return unique_stems(found) if self.selection.image_id == "stem" else found

    def _list(self) -> Iterator[Reference | Failure]:
        for item in self._walk(self.path, "", (), self.ignored):
            yield item if isinstance(item, Failure) else self._reference(*item)

    def count(self) -> Iterator[object]:
        return self._walk(self.path, "", (), Counter())

    def _walk(
        self, folder: Path, prefix: str, above: tuple[tuple[int, int], ...], ignored: Counter[str]
    ) -> Iterator[tuple[Path, str] | Failure]:
        """Walk a folder depth first, in the order of its names, and yield the path and the key of each image.

        Args:
            prefix: the folder's path within the source, empty or ending with a slash.
            above: device and inode of every folder that contains this one.
            ignored: counts what is left out.
        """
        try:
            status = folder.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                ignored["link to a folder above it"] += 1
                return
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            message = f"the folder cannot be listed: {error.strerror}"
            yield Failure(image_id=prefix or self.name, stage="list", error="Unreadable", message=message)
            return
        names = {entry.name for entry in entries}
        for entry in entries:
            name = readable_name(entry.name)
            if name != entry.name and name in names:
                message = "the name is not UTF-8, and its id would be that of another file; rename one of them"
                yield Failure(image_id=prefix + name, stage="list", error="BadName", message=message)
            elif _is_folder(entry):
                if why := no_picture(f"{name}/", hidden=self.selection.hidden):
                    ignored[why] += 1  # for all that is in it, which this program may not be allowed to list
                else:
                    yield from self._walk(Path(entry.path), f"{prefix}{name}/", (*above, here), ignored)
            elif why := self.selection.reason_to_ignore(name):
                ignored[why] += 1
            else:
                yield Path(entry.path), prefix + name

    def _reference(self, path: Path, key: str) -> Reference | Failure:
        uri = file_uri(path)
        identity = image_id(self.selection.image_id, key=key, uri=uri)
        try:
            status = path.stat()
        except OSError as error:
            return Failure(image_id=identity, stage="list", error="Unreadable", message=reason(error))
        if not stat.S_ISREG(status.st_mode):
            message = "this is not a file but a pipe, a socket or a device"
            return Failure(image_id=identity, stage="list", error="NotAFile", message=message)
        return Reference(image_id=identity, uri=uri, size=status.st_size, modified=modified(status))

    def read(self, reference: Reference) -> Sample:
        return read_file(reference)

    def close(self) -> None:
        """Do nothing: this source keeps nothing open."""

    def holds(self, uri: str) -> bool:
        return uri.startswith(file_uri(self.path).rstrip("/") + "/")

    def exists(self, uri: str) -> bool:
        try:
            os.lstat(file_path(uri))
        except (FileNotFoundError, NotADirectoryError):
            if not self.path.exists():
                raise TransientError(f"{self.name} is gone; was its disk taken away?") from None
            return False
        except OSError:
            return True  # a file that cannot be looked at was not deleted
        return True


def open_folder(name: str, selection: Selection, _stopping: threading.Event) -> FolderSource:
    """Open a folder or an image file; see `Opener`."""
    return FolderSource(Path(name), selection)


class FileReader:
    """Reads local files; see `Reader`."""

    readers = FILE_READERS
    remote = False

    def __init__(self, _stopping: threading.Event) -> None:
        """Open nothing: local files need no connection."""

    def read(self, reference: Reference) -> Sample:
        return read_file(reference)

    def close(self) -> None:
        """Do nothing: this reader keeps nothing open."""


def read_file(reference: Reference) -> Sample:
    """Read a local image.

    Returns:
        The bytes. The reference's ETag is their MD5, as in S3 for an object that was uploaded in one piece.

    Raises:
        ImageError: the file cannot be read, or changed while it was read.
    """
    try:
        # O_NONBLOCK: if a pipe has replaced the file, opening it would wait for a writer for ever.
        descriptor = os.open(file_path(reference.uri), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise ImageError("NotAFile", "this is not a file but a folder, a pipe, a socket or a device")
            data = file.read()
            after = os.fstat(descriptor)
    except OSError as error:
        raise ImageError("Unreadable", reason(error), transient=shortage(error)) from error
    if modified(before) != modified(after):
        raise ImageError("Changed", "the file changed while it was read; run again", transient=True)
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    read = Reference(
        image_id=reference.image_id, uri=reference.uri, etag=etag, size=len(data), modified=modified(after)
    )
    return Sample(reference=read, data=data)


def file_uri(path: Path) -> str:
    """Return a path as `file:///…`, percent-encoded where necessary. Links are not resolved."""
    return Path(os.path.abspath(path)).as_uri()


def file_path(uri: str) -> bytes:
    """Return the path for a URI that `file_uri` made."""
    return unquote_to_bytes(uri.removeprefix(FILE_SCHEME))


def readable_name(name: str) -> str:
    """Return a file name as text. Bytes that are not UTF-8 become `\\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def modified(status: os.stat_result) -> str:
    """What stands for a file's content until it is read."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def shortage(error: OSError) -> bool:
    """Whether the machine is at fault, and not the file."""
    return error.errno in SHORTAGES


def reason(error: OSError) -> str:
    """Say why a file cannot be read."""
    return f"the file cannot be read: {error.strerror or error}"
