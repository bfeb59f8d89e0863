"""Where images come from: one file per kind of source behind one small protocol."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

from embedder.config import RunOptions
from embedder.errors import ConfigurationError
from embedder.records import Failure, Reference, Sample
from embedder.system.cores import usable_cores

S3_SCHEME = "s3://"
DENIED = "AccessDenied"
"""The error of an image that we may not read."""

SHARD_SUFFIXES = (".jsonl", ".txt")

FETCHER_CORES = 3
"""Cores to a process that reads objects: reading takes 1.5 ms of one, where decoding takes 2.5 and the rest 0.4."""

FETCHERS_MOST = 8
"""These read 5,200 objects a second, more than one process hands on to decoding and the store."""


class Source(Protocol):
    """A set of images: their names first, their bytes when asked for."""

    name: str
    """As the user wrote it."""
    ignored: Counter[str]
    """What the listing left out so far, counted by suffix or reason."""
    readers: int
    """How many `read` calls at once are worth while."""
    remote: bool
    """Whether bytes cross a network, so that what arrives broken is worth reading again."""
    total: int | None
    """How many images there are, where that is known before listing them."""

    def references(self) -> Iterator[Reference | Failure]:
        """Yield every image once; a Failure stands for what could not be listed."""

    def read(self, reference: Reference) -> Sample:
        """Return an image's bytes and the ETag they have.

        Raises:
            ImageError: this image cannot be read.
            TransientError: nothing can be read, and waiting has not helped.
            ConfigurationError: nothing can be read, and waiting would not help.
        """

    def close(self) -> None:
        """Let go of what reading needs; nobody waits for it any more."""


@runtime_checkable
class Collection(Source, Protocol):
    """A source that is all there is in a place, so that what is stored and not in it is gone."""

    def holds(self, uri: str) -> bool:
        """Whether a stored vector's `Source` lies within this place."""

    def exists(self, uri: str) -> bool:
        """Whether the image at this URI, which lies within this place, is still there.

        Raises:
            TransientError: the place itself does not answer.
        """


def fetching_processes() -> int:
    """How many processes there are to read from S3."""
    return min(usable_cores() // FETCHER_CORES, FETCHERS_MOST)


def open_source(name: str, options: RunOptions, *, stopping: threading.Event) -> Source:
    """Open a folder, an image file, an S3 prefix, or a shard file.

    Raises:
        ConfigurationError: it is not there, or the options do not go with it.
        TransientError: it does not answer.
    """
    return _open_s3(name, options, stopping) if name.startswith(S3_SCHEME) else _open_local(name, options, stopping)


def _open_local(name: str, options: RunOptions, stopping: threading.Event) -> Source:
    if "://" in name:
        raise ConfigurationError(f"{name} is not a source: expected a folder, a file, or s3://BUCKET/PREFIX/")
    path = Path(name)
    if not path.exists():
        raise ConfigurationError(f"there is no file or folder {name}; name a folder of images")
    if path.suffix.lower() in SHARD_SUFFIXES and not path.is_dir():
        from embedder.sources.shard import local_shard

        return local_shard(path, options, stopping)
    from embedder.sources.folder import FolderSource

    return FolderSource(path, options)


def _open_s3(name: str, options: RunOptions, stopping: threading.Event) -> Source:
    from embedder.sources.bucket import PrefixSource, S3Reader, split_uri

    bucket, key = split_uri(name)
    reader = S3Reader(stopping)
    if key.lower().endswith(SHARD_SUFFIXES):
        from embedder.sources.shard import s3_shard

        return s3_shard(reader, bucket, key, options)
    return PrefixSource(reader, bucket, key, options)
