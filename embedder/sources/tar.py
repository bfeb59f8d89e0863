"""Images in tar files, as WebDataset keeps them: local or in S3, one file or many named by braces.

A member is `tar+file:///…/a.tar#NAME` or `tar+s3://BUCKET/a.tar#NAME`, its name percent-encoded. Where in the file it
lies stands in a reference's `modified`, with what tells one version of the file from the next: so a member can be read
by itself, and an unchanged file's members are skipped without being read.
"""

from __future__ import annotations

import hashlib
import os
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import quote, unquote_to_bytes

from embedder.errors import ConfigurationError, ImageError
from embedder.records import Failure, Reference, Sample
from embedder.sources import Selection
from embedder.sources.braces import expand, fixed_folder
from embedder.sources.folder import FILE_READERS, file_path, file_uri, readable_name
from embedder.sources.naming import Seen, image_id, unique_stems
from embedder.sources.ranges import FileRanges, ObjectRanges, Ranges
from embedder.sources.reader import S3Reader, split_uri
from embedder.sources.tar_members import Member, tar_members

AHEAD_BYTES = 64 << 20
"""Members of an object that are kept from its listing until they are read. The others are asked for once more."""

INDEXES = 4
"""Files whose members' places are remembered where only their names are known, as in a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in a version of a file a member's bytes are."""

    stamp: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.stamp}@{self.offset}+{self.size}"

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        stamp, _, numbers = (text or "").rpartition("@")
        offset, _, size = numbers.partition("+")
        if not (stamp and offset.isdecimal() and size.isdecimal()):
            return None
        return cls(stamp=stamp, offset=int(offset), size=int(size))


def member_uri(tar: str, name: str) -> str:
    """Return the address of a member of the file at a `file://` or `s3://` address."""
    return f"tar+{tar}#{quote(os.fsencode(name), safe='/')}"


def split_member_uri(uri: str) -> tuple[str, str]:
    """Return a file's address and a member's name, from which `member_uri` made this one."""
    tar, _, name = uri.removeprefix("tar+").rpartition("#")
    return tar, os.fsdecode(unquote_to_bytes(name))


class Ahead:
    """Members of objects that the listing has come by, kept for whoever reads them next, within `AHEAD_BYTES`."""

    def __init__(self) -> None:
        self.members: dict[tuple[str, Place], bytes] = {}
        self.bytes = 0
        self.lock = threading.Lock()

    def has_room(self, size: int) -> bool:
        return self.bytes + size <= AHEAD_BYTES

    def keep(self, uri: str, place: Place, data: bytes) -> None:
        with self.lock:
            self.members[uri, place] = data
            self.bytes += len(data)

    def take(self, uri: str, place: Place) -> bytes | None:
        with self.lock:
            data = self.members.pop((uri, place), None)
            self.bytes -= len(data or b"")
        return data

    def clear(self) -> None:
        """Forget what nobody has asked for, such as members that are skipped."""
        with self.lock:
            self.members.clear()
            self.bytes = 0


class TarReader(ABC):
    """Reads members of tar files; see `Reader`."""

    remote: bool
    readers: int

    def __init__(self) -> None:
        self.ahead = Ahead()
        self.indexes: dict[tuple[str, str], dict[str, Place]] = {}
        """Of the files looked through last: by address and stamp, the places of their members by name."""
        self.looking = threading.Lock()

    @abstractmethod
    def open(self, tar: str) -> Ranges:
        """Open the file at this address; raise ImageError if it cannot be read."""

    @abstractmethod
    def bytes_at(self, tar: str, place: Place) -> bytes | None:
        """Return a member's bytes; None if the file is another one than the place is of."""

    @abstractmethod
    def close(self) -> None:
        """As of a `Reader`."""

    def read(self, reference: Reference) -> Sample:
        """As of a `Source`. A member whose place is unknown, or has changed, is looked for by its name."""
        tar, name = split_member_uri(reference.uri)
        place = Place.parse(reference.modified)
        data = (self.ahead.take(reference.uri, place) or self.bytes_at(tar, place)) if place else None
        if data is None:
            place, data = self._look_for(tar, name)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return Sample(reference=replace(reference, etag=etag, size=len(data), modified=str(place)), data=data)

    def _look_for(self, tar: str, name: str) -> tuple[Place, bytes]:
        with self.open(tar) as file:
            with self.looking:
                index = self.indexes.get((tar, file.stamp))
                if index is None:
                    index = {}
                    for each in tar_members(file):
                        index.setdefault(each.name, Place(stamp=file.stamp, offset=each.offset, size=each.size))
                    while len(self.indexes) >= INDEXES:
                        del self.indexes[next(iter(self.indexes))]
                    self.indexes[tar, file.stamp] = index
            if name not in index:
                raise ImageError("NotFound", f"there is no {readable_name(name)} in {tar} any more")
            place = index[name]
            return place, file.read(place.offset, place.size)


class FileTarReader(TarReader):
    """Reads members of local tar files."""

    remote = False
    readers = FILE_READERS

    def __init__(self, _stopping: threading.Event) -> None:
        super().__init__()

    def open(self, tar: str) -> FileRanges:
        return FileRanges(file_path(tar))

    def bytes_at(self, tar: str, place: Place) -> bytes | None:
        with self.open(tar) as file:
            return file.read(place.offset, place.size) if file.stamp == place.stamp else None

    def close(self) -> None:
        """Nothing is held."""


class ObjectTarReader(TarReader):
    """Reads members of tar files in S3."""

    remote = True

    def __init__(self, stopping: threading.Event, reader: S3Reader | None = None) -> None:
        super().__init__()
        self.reader = reader or S3Reader(stopping)
        self.readers = self.reader.readers

    def open(self, tar: str) -> ObjectRanges:
        return ObjectRanges(self.reader, *split_uri(tar))

    def bytes_at(self, tar: str, place: Place) -> bytes | None:
        try:
            return self.reader.read_range(*split_uri(tar), place.offset, place.size, place.stamp)
        except ImageError as error:
            if error.error == "Changed":
                return None
            raise

    def close(self) -> None:
        self.reader.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tar:
    """A tar file of images."""

    key: str
    """What the ids of its images begin with."""
    uri: str
    only: frozenset[str] | None = None
    """The ids of the images that are wanted; None for all."""


class TarSource:
    """The images in tar files, file by file, in the order in which they lie there; see `Source`.

    An image's key is the file's key and the member's name below that: `000.tar/0001.jpg`.
    """

    LINK: ClassVar[str] = "link within a tar file"

    def __init__(self, name: str, tars: list[Tar], selection: Selection, reader: TarReader) -> None:
        self.name = name
        self.tars = tars
        self.selection = selection
        self.reader = reader
        self.readers = reader.readers
        self.remote = reader.remote
        self.ignored: Counter[str] = Counter()
        self.total: int | None = None
        self.found = 0
        """Images that were listed so far."""
        self.through = 0.0
        """How many of the files were listed for it; of the file that is being listed, the part of its bytes."""

    def references(self) -> Iterator[Reference | Failure]:
        found = self._list()
        return unique_stems(found) if self.selection.image_id == "stem" else found

    def _list(self) -> Iterator[Reference | Failure]:
        for number, tar in enumerate(self.tars, start=1):
            self.reader.ahead.clear()
            for item in self._members(tar):
                self.found += 1
                yield item
            self.through = number

    def count(self) -> Iterator[object] | None:
        # In S3, the way from header to header costs as much as the images between them.
        return None if self.remote else self._count()

    def _count(self) -> Iterator[object]:
        for tar in self.tars:
            try:
                with self.reader.open(tar.uri) as file:
                    yield from (each for each in tar_members(file) if not self._reason_to_ignore(each))
            except ImageError as error:
                yield error  # the listing makes one failure of it

    def expected(self) -> tuple[int, bool] | None:
        part = self.through / len(self.tars)
        return (round(self.found / part), part == 1) if part else None

    def _members(self, tar: Tar) -> Iterator[Reference | Failure]:
        absent = set(tar.only or ())
        try:
            with Seen() as seen, self.reader.open(tar.uri) as file:
                before = self.through
                for member in tar_members(file):
                    self.through = before + min(member.offset + member.size, file.size) / (file.size + 1)
                    if item := self._item(tar, file, member, seen):
                        absent.discard(item.image_id)
                        yield item
        except ImageError as error:
            yield Failure(
                image_id=tar.key, stage="list", error=error.error, message=error.message, transient=error.transient
            )
            return
        for identity in sorted(absent):
            message = f"there is no such image in {tar.uri} any more"
            yield Failure(image_id=identity, stage="list", error="NotFound", message=message)

    def _item(self, tar: Tar, file: Ranges, member: Member, seen: Seen) -> Reference | Failure | None:
        name = _readable(member)
        uri = member_uri(tar.uri, member.name)
        identity = image_id(self.selection.image_id, key=f"{tar.key}/{name}", uri=uri)
        if tar.only is not None and identity not in tar.only:
            return None
        if reason := self._reason_to_ignore(member):
            self.ignored[reason] += 1
            return None
        place = Place(stamp=file.stamp, offset=member.offset, size=member.size)
        if seen.before(identity, str(place)) != "nothing":
            message = f"{tar.uri} holds several files of this name; the first one counts"
            return Failure(image_id=identity, stage="list", error="Collision", message=message)
        if member.sparse:
            message = "the file is stored with holes; pack it again without --sparse"
            return Failure(image_id=identity, stage="list", error="Unsupported", message=message)
        if self.remote and self.reader.ahead.has_room(member.size):
            data = member.read()
            if len(data) == member.size:
                self.reader.ahead.keep(uri, place, data)
        return Reference(image_id=identity, uri=uri, size=member.size, modified=str(place))

    def _reason_to_ignore(self, member: Member) -> str | None:
        return self.selection.reason_to_ignore(_readable(member)) or (self.LINK if member.link else None)

    def read(self, reference: Reference) -> Sample:
        return self.reader.read(reference)

    def close(self) -> None:
        self.reader.close()


def _readable(member: Member) -> str:
    return readable_name(member.name).removeprefix("./")


def open_local_tars(name: str, selection: Selection, stopping: threading.Event) -> TarSource:
    """Open tar files on a disk, by a path in which braces may stand; see `Opener`."""
    names = [name] if Path(name).exists() else expand(name)
    folder = "" if len(names) == 1 else fixed_folder(name)
    tars = [Tar(key=_key(each, folder), uri=file_uri(Path(each))) for each in names]
    return TarSource(name, tars, selection, FileTarReader(stopping))


def open_s3_tars(name: str, selection: Selection, stopping: threading.Event) -> TarSource:
    """Open tar files in S3, by an address in which braces may stand; see `Opener`."""
    reader = ObjectTarReader(stopping)
    names = expand(name)
    if len(names) == 1 and not reader.reader.exists(*split_uri(name), at_start=True):
        raise ConfigurationError(f"there is no tar file {name}")
    folder = "" if len(names) == 1 else fixed_folder(name)
    tars = [Tar(key=_key(each, folder), uri=each) for each in names]
    return TarSource(name, tars, selection, reader)


def _key(name: str, folder: str) -> str:
    return name.removeprefix(folder) if folder else name.rpartition("/")[2]
