"""A large file of which parts are read: on a disk, or an object in S3."""

from __future__ import annotations

import io
import os
import stat
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from embedder.errors import ImageError
from embedder.sources.folder import modified, reason, shortage

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from embedder.sources.reader import S3Reader

OBJECT_BLOCK = 4 << 20
"""Bytes that are asked for at once where an object is read from its start to its end."""


class Ranges(Protocol):
    """An open file. Several threads may read it at once."""

    size: int
    stamp: str
    """Differs where the content does."""
    block: int
    """How many bytes it is best to read at once."""

    def read(self, offset: int, size: int) -> bytes:
        """Return exactly these bytes.

        Raises:
            ImageError: they cannot be read; `Truncated` if the file has no such bytes.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""


class FileRanges:
    """A file on a disk; see `Ranges`."""

    block = 1 << 16

    def __init__(self, path: bytes) -> None:
        try:
            # Not blocking: a pipe would wait for a writer for ever.
            self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            status = os.fstat(self.descriptor)
        except OSError as error:
            raise ImageError("Unreadable", reason(error), transient=shortage(error)) from error
        self.size = status.st_size
        self.stamp = modified(status)
        if not stat.S_ISREG(status.st_mode):
            os.close(self.descriptor)
            raise ImageError("NotAFile", "not a file but a folder, a pipe, a socket or a device")

    def read(self, offset: int, size: int) -> bytes:
        require(self, offset, size)
        try:
            data = os.pread(self.descriptor, size, offset)
        except OSError as error:
            raise ImageError("Unreadable", reason(error), transient=shortage(error)) from error
        if len(data) != size:
            raise ImageError("Changed", "the file was cut while it was read; run again", transient=True)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self.descriptor)


class ObjectRanges:
    """An object in S3; see `Ranges`. If it is replaced meanwhile, reading raises `Changed`."""

    block = OBJECT_BLOCK

    def __init__(self, reader: S3Reader, bucket: str, key: str) -> None:
        self.reader = reader
        self.bucket = bucket
        self.key = key
        self.size, self.stamp = reader.measure(bucket, key)

    def read(self, offset: int, size: int) -> bytes:
        require(self, offset, size)
        return self.reader.read_range(self.bucket, self.key, offset, size, self.stamp)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is held."""


def require(file: Ranges, offset: int, size: int) -> None:
    """Raise ImageError unless the file has these bytes."""
    if offset + size > file.size:
        raise ImageError("Truncated", f"the file ends {offset + size - file.size:,} bytes before the image does")


class RangesFile(io.RawIOBase):
    """The same as one of Python's files, for whoever wants one. Closing it leaves the `Ranges` open."""

    def __init__(self, file: Ranges) -> None:
        self.file = file
        self.position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: self.file.size}[whence]
        self.position = max(0, start + offset)
        return self.position

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        size = max(0, min(len(view), self.file.size - self.position))
        if size:
            view[:size] = self.file.read(self.position, size)
            self.position += size
        return size
