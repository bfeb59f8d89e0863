"""What a tar file says it holds, and whether it is whole."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from embedder.errors import ImageError
from embedder.sources.ranges import Ranges, RangesFile

DAMAGED = "DamagedTar"
LARGEST_HEADER = 1 << 20
"""Bytes. A header states its own length, and memory is asked for before the file turns out to be shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file or a link in a tar file."""

    name: str
    """As Python has file names: bytes that are not UTF-8 are surrogates."""
    offset: int
    """Where its bytes begin."""
    size: int
    link: bool
    sparse: bool
    read: Callable[[], bytes]
    """Returns its bytes, until the next member is asked for; fewer if the file is cut."""


class _Buffer(io.BufferedReader):
    """The file, of which no header is longer than headers are."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= LARGEST_HEADER:
            raise tarfile.ReadError(f"a header claims to have {size} bytes")
        return super().read(size)

    def contents(self, offset: int, size: int) -> bytes:
        self.seek(offset)
        return super().read(size)


def tar_members(file: Ranges) -> Iterator[Member]:
    """Yield the files and links of an uncompressed tar file, in bounded memory.

    Raises:
        ImageError: the file is damaged or cut, which may come out after the last whole member; or it cannot be read.
    """
    try:
        with _Buffer(RangesFile(file), file.block) as buffer:
            yield from _members(buffer)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        message = f"not a whole tar file: {error}; members that are not listed here may be missing"
        raise ImageError(DAMAGED, message) from error


def _members(buffer: _Buffer) -> Iterator[Member]:
    with tarfile.open(fileobj=buffer, mode="r:") as tar:
        last = -1
        while found := tar.next():
            tar.members.clear()  # type: ignore[attr-defined]  # where tarfile would keep them all
            if found.offset <= last:
                raise tarfile.ReadError("a header points back to one before it")
            last = found.offset
            if found.isreg() or found.islnk() or found.issym():
                yield Member(
                    name=found.name,
                    offset=found.offset_data,
                    size=found.size,
                    link=not found.isreg(),
                    sparse=found.issparse(),
                    read=partial(buffer.contents, found.offset_data, found.size),
                )
        # tarfile takes a damaged header for the end.
        if buffer.contents(tar.offset, tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end, a block of zeros, is missing or damaged")
