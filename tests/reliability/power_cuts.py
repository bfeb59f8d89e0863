"""What a disk may hold after a power cut, worked out from the calls that a process made.

A change that was synced is on the disk. Of the others any may be there and any may be missing, in whatever order they
were made: a file system may write a name before the data, or the last data first. A write may be torn at a sector. This
is what POSIX allows, and more than ext4 or XFS do. Renaming is atomic, as on all of them.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from tests.reliability.disk_calls import Call

SECTOR = 512
RUBBISH = random.Random(0).randbytes(32768)


@dataclass(eq=False, slots=True)
class File:
    """A file or a folder, whatever its names are.

    Attributes:
        content: before the first call; None for a folder.
        mapped: its content comes and goes without a call, so it is always rubbish.
    """

    content: bytes | None = b""
    mapped: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset."""

    file: File
    at: int
    data: bytes

    def torn(self) -> Iterator[Write]:
        """Yield what may be there of it instead: its first or its last sectors."""
        half = len(self.data) // 2 // SECTOR * SECTOR
        if half:
            yield Write(self.file, self.at, self.data[:half])
            yield Write(self.file, self.at + half, self.data[half:])


@dataclass(frozen=True, slots=True)
class Truncate:
    """A new size."""

    file: File
    size: int


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a file gets or, without a file, loses; if it is a new one for the file, the old one goes with it."""

    path: Path
    file: File | None
    before: Path | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """The file's data, or the folder's names, are on the disk."""

    file: File


@dataclass(frozen=True, slots=True)
class Note:
    """What the process said."""

    text: str


Change: TypeAlias = Write | Truncate | Name
Step: TypeAlias = Change | Sync | Note
Files: TypeAlias = dict[Path, bytes | None]
"""Content by path; None for a folder."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A power cut.

    Attributes:
        step: how many steps came before it.
        missing: the numbers of those changes among them that are not on the disk.
        torn: is there instead of the last change.
    """

    step: int
    missing: frozenset[int] = frozenset()
    torn: Write | None = None


@dataclass(slots=True)
class Recording:
    """The steps of a process on the files of a folder."""

    folder: Path
    names: dict[Path, File]
    """Before the first step."""
    steps: list[Step] = field(default_factory=list)
    folders: dict[Path, File] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, before: Files, calls: Iterator[Call]) -> Recording:
        """Read a recording.

        Args:
            folder: where it was made.
            before: what was there then.
        """
        recording = cls(folder, {path: File(content) for path, content in before.items()} | {folder: File(None)})
        names, opened = dict(recording.names), dict[int, File]()
        for call in calls:
            recording.steps += _steps(call, names, opened)
        made = {each.path: each.file for each in recording.steps if isinstance(each, Name) and each.file}
        recording.folders = {path: file for path, file in (recording.names | made).items() if file.content is None}
        return recording

    def loose(self, cut: int) -> list[int]:
        """Return the numbers of the changes before a cut that were not synced by then."""
        found: list[int] = []
        for number, step in enumerate(self.steps[:cut]):
            match step:
                case Sync(file):
                    found = [each for each in found if self._where(each) is not file]
                case Write() | Truncate() | Name():
                    found.append(number)
        return found

    def _where(self, number: int) -> File | None:
        """Return what has to be synced for a change to be on the disk."""
        match self.steps[number]:
            case Write(file) | Truncate(file):
                return file
            case Name(path):
                return self.folders[path.parent]
        return None

    def files(self, cut: Cut) -> Files:
        """Return what is on the disk."""
        names = dict(self.names)
        contents = {file: bytearray(file.content or b"") for file in names.values()}
        steps: list[Step] = [each for number, each in enumerate(self.steps[: cut.step]) if number not in cut.missing]
        if cut.torn:
            steps[-1] = cut.torn
        for step in steps:
            match step:
                case Write(file, at, data):
                    content = contents.setdefault(file, bytearray(file.content or b""))
                    content.extend(bytes(max(at - len(content), 0)))
                    content[at : at + len(data)] = data
                case Truncate(file, size):
                    content = contents.setdefault(file, bytearray(file.content or b""))
                    content.extend(bytes(max(size - len(content), 0)))
                    del content[size:]
                case Name(path, named, before):
                    names.pop(before or path, None)
                    if named:
                        names[path] = named
        return {
            path: None if file.content is None else bytes(contents.get(file, file.content))
            for path, file in names.items()
            if path != self.folder and all(each in names for each in path.parents if self.folder in each.parents)
        }

    def cuts(self, cut: int, chance: random.Random, draws: int = 8) -> Iterator[Cut]:
        """Yield what a power cut may leave: all, the least, and much between."""
        loose = frozenset(self.loose(cut))
        names = {each for each in loose if isinstance(self.steps[each], Name)}
        chosen = {frozenset[int](), loose, frozenset(names), loose - names}
        for each in loose:
            chosen |= {frozenset({each}), loose - {each}}
        for _ in range(draws if len(loose) > 2 else 0):
            chosen.add(frozenset(each for each in sorted(loose) if chance.random() < 0.5))
        for missing in sorted(chosen, key=sorted):
            yield Cut(cut, missing)
        if cut and isinstance(last := self.steps[cut - 1], Write):
            for torn in last.torn():
                yield Cut(cut, torn=torn)
                yield Cut(cut, loose - {cut - 1}, torn)


def _steps(call: Call, names: dict[Path, File], opened: dict[int, File]) -> Sequence[Step]:
    """Return what a call changes, and bring forward the names and the open files."""
    path, found = Path(call.path), opened.get(call.descriptor)
    match call.name:
        case "open":
            return _open(call, path, names, opened)
        case "write" | "ftruncate" | "ftruncate64" if found and (found.mapped or found not in names.values()):
            return []
        case "write" if found:
            return [Write(found, call.numbers[0], call.data)]
        case "ftruncate" | "ftruncate64" if found:
            return [Truncate(found, call.numbers[0])]
        case "fsync" | "fdatasync" if found:
            return [Sync(found)]
        case "mkdir":
            names[path] = File(None)
            return [Name(path, names[path])]
        case "unlink" | "rmdir":
            del names[path]
            return [Name(path, None)]
        case "rename":
            target = Path(os.fsdecode(call.target))
            names[target] = names.pop(path)
            return [Name(target, names[target], before=path)]
        case "note":
            return [Note(call.path)]
        case "call" | "close":
            return []
    raise AssertionError(call)


def _open(call: Call, path: Path, names: dict[Path, File], opened: dict[int, File]) -> Sequence[Step]:
    flags, is_new = call.numbers
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        opened[call.descriptor] = File()  # has no name, so a power cut takes it away
        return []
    steps: list[Step] = []
    if is_new:
        mapped = path.name.endswith("-shm")
        names[path] = File(RUBBISH if mapped else b"", mapped)
        steps = [Name(path, names[path])]
    elif flags & os.O_TRUNC:
        steps = [Truncate(names[path], 0)]
    opened[call.descriptor] = names[path]
    return steps


def read_files(folder: Path) -> Files:
    """Return what is in a folder."""
    return {each: each.read_bytes() if each.is_file() else None for each in sorted(folder.rglob("*"))}


def write_files(files: Files, made_in: Path, folder: Path) -> None:
    """Write files to another folder than the one that they were recorded in."""
    for path, content in sorted(files.items()):
        target = folder / path.relative_to(made_in)
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.write_bytes(content)
