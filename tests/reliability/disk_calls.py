"""What a process does to the files of one folder: every call is seen, and one of them can be made to fail.

The calls are those to the C library, so SQLite's are among them. `disk_calls.c` sees them; it has to be there when the
process starts.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

SOURCE = Path(__file__).with_suffix(".c")
HEAD = struct.Struct("=32s5q")

READS, LOOKS, NAMES, WRITES = range(4)
"""Kinds of calls: on an open file or by a name, those that change nothing; those that make or change a name, and those
that change data."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call to the C library, as it was recorded.

    Attributes:
        name: `open`, `write`, …; `call` for the announcement of any call, `note` for a text of the process.
        numbers: flags and whether the file is new (`open`), the offset (`write`), the size (`ftruncate`), the kind
            and the number (`call`).
        data: the path or the bytes; of `call` the function's name.
        target: the new path (`rename`), the path (`call`).
    """

    name: str
    descriptor: int
    numbers: tuple[int, int]
    data: bytes
    target: bytes

    @property
    def path(self) -> str:
        return os.fsdecode(self.data)


def build(folder: Path) -> Path:
    """Compile the library and return its path."""
    library = folder / "disk_calls.so"
    command = ["cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


@cache
def _library() -> ctypes.CDLL:
    found = ctypes.CDLL(os.environ["LD_PRELOAD"])
    found.watch.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int]
    found.what_failed.restype = ctypes.c_char_p
    return found


def watch(folder: Path, log: IO[bytes] | None = None, *, number: int = 0, error: int = 0, full: bool = False) -> None:
    """Begin to record the calls on the files below a folder.

    Args:
        log: gets them.
        number: of the call that fails, from 1; 0 if none does.
        error: its errno. A call to which that cannot happen succeeds.
        full: all writes from that one on fail, as on a disk that stays full.
    """
    _library().watch(os.fsencode(folder), log.fileno() if log else -1, number, error, full)


def unwatch() -> None:
    """End it."""
    _library().unwatch()


def what_failed() -> str:
    """Return the call that failed, and its path; empty if none has."""
    found: bytes = _library().what_failed()
    return os.fsdecode(found)


def note(text: str) -> None:
    """Write a text into the log, between the calls."""
    _library().note(text.encode())


def calls(log: bytes) -> Iterator[Call]:
    """Read a log."""
    at = 0
    while at < len(log):
        name, descriptor, first, second, size, target_size = HEAD.unpack_from(log, at)
        at += HEAD.size
        data, target = log[at : at + size], log[at + size : at + size + target_size]
        at += size + target_size
        yield Call(name.rstrip(b"\0").decode(), descriptor, (first, second), data, target)
