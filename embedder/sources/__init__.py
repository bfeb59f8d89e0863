"""Where images come from: one file for each kind of source behind one small protocol.

To add a kind of source, write a file beside these and give it a line in `SOURCES`. To read from another kind of
address, write a `Reader` and give it a line in `READERS`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

from embedder.errors import ConfigurationError
from embedder.options import DEFAULT_SUFFIXES, ImageIdMode, RunOptions
from embedder.records import Failure, Reference, Sample
from embedder.sources.braces import expand
from embedder.sources.naming import suffix
from embedder.system.doors import behind, scheme_of
from submitter.manifest import no_picture

S3_SCHEME = "s3://"
DENIED = "AccessDenied"
"""The error of an image that may not be read."""

SHARD_SUFFIXES = (".jsonl", ".txt")
TAR_SUFFIXES = (".tar",)
TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which files of a place are images, and what an image is called."""

    suffixes: Sequence[str] = DEFAULT_SUFFIXES
    """In lower case, without the dot."""
    image_id: ImageIdMode = "key"
    hidden: bool = False
    """Whether hidden files are wanted too."""
    allow_private: bool = False
    """Whether images may be read from web servers of this machine or its network."""

    @classmethod
    def of(cls, options: RunOptions) -> Selection:
        """Return what the options of a run say."""
        return cls(**{each.name: getattr(options, each.name) for each in fields(cls)})

    def reason_to_ignore(self, path: str) -> str | None:
        """Return why a file is not taken for an image, None if it is.

        Args:
            path: below the source, which may itself be hidden.
        """
        if reason := no_picture(path, hidden=self.hidden):
            return reason
        kind = suffix(path)
        return None if kind.removeprefix(".") in self.suffixes else kind


class Source(Protocol):
    """A set of images: their names first, their bytes when asked for."""

    name: str
    """As the user wrote it."""
    ignored: Counter[str]
    """What the listing has left out so far, counted by suffix or reason."""
    readers: int
    """How many `read` calls at once are worth while."""
    remote: bool
    """Whether bytes cross a network: then an image that arrives broken is worth reading again."""
    total: int | None
    """How many images there are, where that is known before they are listed."""

    def references(self) -> Iterator[Reference | Failure]:
        """Yield every image once. A Failure stands for an image that could not be listed."""

    def read(self, reference: Reference) -> Sample:
        """Return an image's bytes and the ETag they have.

        Raises:
            ImageError: this image cannot be read.
            TransientError: nothing can be read, and waiting has not helped.
            ConfigurationError: nothing can be read, and waiting would not help.
        """

    def close(self) -> None:
        """Release what reading needs. Calls of `read` that have not ended need not end well."""


@runtime_checkable
class CompleteSource(Source, Protocol):
    """A complete source: a stored image that it no longer holds was deleted."""

    def holds(self, uri: str) -> bool:
        """Whether a stored vector's `Source` lies within this place."""

    def exists(self, uri: str) -> bool:
        """Whether the image at this URI, which lies within this place, is still there.

        Raises:
            TransientError: the place itself does not answer.
        """


@runtime_checkable
class Countable(Protocol):
    """A source whose images can be counted far more cheaply than they are read."""

    def count(self) -> Iterator[object] | None:
        """Yield something for each image that `references` will yield. It may run beside it, in another thread.

        Returns:
            None if this source is one of its kind that cannot be counted cheaply.

        Raises:
            TransientError: the place does not answer.
        """


@runtime_checkable
class Estimated(Protocol):
    """A source whose listing is long, and tells early how many images there will be."""

    def expected(self) -> tuple[int, bool] | None:
        """Return how many images there are by what was listed so far, and whether that is all; None at first."""


class Reader(Protocol):
    """Reads the bytes of images at one kind of address."""

    remote: bool
    """As of a `Source`."""

    @property
    def readers(self) -> int:
        """How many `read` calls at once are worth while."""

    def read(self, reference: Reference) -> Sample:
        """As of a `Source`."""

    def close(self) -> None:
        """As of a `Source`."""


Opener: TypeAlias = Callable[[str, Selection, threading.Event], Source]
"""Opens a source by its name. Waiting for a broken network ends when the event is set."""


class Kind(NamedTuple):
    """A row of `SOURCES`."""

    scheme: str
    """What stands before `://` in its name; empty for a path."""
    suffixes: tuple[str, ...]
    """How its name ends, in lower case; empty for any other name."""
    opens: str | Opener
    """The opener, or where it is: `package.module:function`."""


SOURCES = [
    Kind("", SHARD_SUFFIXES, "embedder.sources.shard:open_local_shard"),
    Kind("", TABLE_SUFFIXES, "embedder.sources.table:open_local_table"),
    Kind("", TAR_SUFFIXES, "embedder.sources.tar:open_local_tars"),
    Kind("", (), "embedder.sources.folder:open_folder"),
    Kind("s3", TABLE_SUFFIXES, "embedder.sources.table:open_s3_table"),
    Kind("s3", TAR_SUFFIXES, "embedder.sources.tar:open_s3_tars"),
    Kind("s3", SHARD_SUFFIXES, "embedder.sources.shard:open_s3_shard"),
    Kind("s3", (), "embedder.sources.bucket:open_prefix"),
]
"""The kinds of sources. The first row that fits a name opens it."""

READERS: dict[str, str | Callable[[threading.Event], Reader]] = {
    "file": "embedder.sources.folder:FileReader",
    "s3": "embedder.sources.reader:S3Reader",
    "http": "embedder.sources.web:WebReader",
    "https": "embedder.sources.web:WebReader",
    "tar+file": "embedder.sources.tar:FileTarReader",
    "tar+s3": "embedder.sources.tar:ObjectTarReader",
}
"""What reads the bytes at an address, by its scheme; or where that is: `package.module:Class`."""


def open_source(name: str, selection: Selection, *, stopping: threading.Event) -> Source:
    """Open a folder, an image file, an S3 prefix, a shard file, tar files, or a table of addresses.

    Raises:
        ConfigurationError: the source is not there, or the selection does not go with it.
        TransientError: the source does not answer.
    """
    scheme = scheme_of(name)
    try:
        if not scheme and not any(Path(each).exists() for each in _names(name)):
            raise ConfigurationError(f"there is no file or folder {name}; name a folder of images")
        ending = "" if not scheme and Path(name).is_dir() else name.lower()
    except OSError as error:
        raise ConfigurationError(f"{name} cannot be looked at: {error.strerror}; check its folder") from error
    for kind in SOURCES:
        if kind.scheme == scheme and (not kind.suffixes or ending.endswith(kind.suffixes)):
            return behind(kind.opens)(name, selection, stopping)
    raise ConfigurationError(f"{name} is not a source: expected a folder, a file, or s3://BUCKET/PREFIX/")


def _names(path: str) -> list[str]:
    """The files that a path may stand for; only tar files have patterns."""
    return [path, *expand(path)] if path.lower().endswith(TAR_SUFFIXES) else [path]


class Readers:
    """Reads images wherever they are, each kind of address by a reader that is opened when it is first needed.

    Args:
        opened: readers that are open already, by the scheme that each reads.
    """

    def __init__(self, stopping: threading.Event, opened: Mapping[str, Reader] | None = None) -> None:
        self.stopping = stopping
        self.opened = dict(opened or {})
        self.opening = threading.Lock()

    def of(self, uri: str) -> Reader:
        """Return what reads an address.

        Raises:
            ConfigurationError: nothing reads addresses of this kind, or what does cannot be opened.
        """
        scheme = scheme_of(uri)
        with self.opening:
            if scheme not in self.opened:
                if scheme not in READERS:
                    raise ConfigurationError(
                        f"{uri} cannot be read: expected an address that begins with "
                        + " or ".join(f"{each}://" for each in READERS)
                    )
                self.opened[scheme] = behind(READERS[scheme])(self.stopping)
            return self.opened[scheme]

    def read(self, reference: Reference) -> Sample:
        """Return an image's bytes; raise as a `Source` does."""
        return self.of(reference.uri).read(reference)

    def close(self) -> None:
        """Close every reader that was opened."""
        for reader in self.opened.values():
            reader.close()
