"""One shard: a file that lists images, `.jsonl` or the original sample's `.txt` with a key per line."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from embedder.config import RunOptions
from embedder.errors import ConfigurationError
from embedder.records import Failure, Reference, Sample
from embedder.sources import S3_SCHEME
from embedder.sources.bucket import S3Reader
from embedder.sources.folder import FILE_READERS, file_uri, read_file
from embedder.sources.naming import image_id
from submitter.manifest import Entry, parse_entries

Locate = Callable[[str], tuple[str, str]]
"""From an entry's key to the image's key and URI."""


class ShardSource:
    """The images that a shard lists, in its order; see `Source`.

    A shard is what somebody chose, so suffixes are not looked at. An image listed twice counts once.
    """

    def __init__(
        self,
        name: str,
        entries: list[Entry],
        locate: Locate,
        options: RunOptions,
        open_reader: Callable[[], S3Reader],
    ) -> None:
        check_options(name, options)
        self.name = name
        self.entries = entries
        self.locate = locate
        self.options = options
        self.ignored: Counter[str] = Counter()
        self.total: int | None = len(entries)
        self.remote = any(locate(entry.key)[1].startswith(S3_SCHEME) for entry in entries)
        self.reader = open_reader() if self.remote else None
        self.readers = self.reader.readers if self.reader else FILE_READERS

    def references(self) -> Iterator[Reference | Failure]:
        seen: dict[str, str] = {}
        for entry in self.entries:
            key, uri = self.locate(entry.key)
            identity = image_id(self.options.image_id, key=key, uri=uri)
            if identity not in seen:
                seen[identity] = uri
                yield self._reference(entry, identity, uri)
            elif seen[identity] == uri:
                self.ignored["listed twice"] += 1
            else:
                message = f"{seen[identity]} and {uri} have the same id; use --image-id uri"
                yield Failure(image_id=identity, stage="check", error="Collision", message=message)

    def _reference(self, entry: Entry, identity: str, uri: str) -> Reference:
        if uri.startswith(S3_SCHEME):
            return Reference(image_id=identity, uri=uri, etag=entry.etag, size=entry.size)
        return Reference(image_id=identity, uri=uri, size=entry.size)

    def read(self, reference: Reference) -> Sample:
        if reference.uri.startswith(S3_SCHEME):
            assert self.reader is not None
            return self.reader.read(reference)
        return read_file(reference)

    def close(self) -> None:
        if self.reader:
            self.reader.close()


def check_options(name: str, options: RunOptions) -> None:
    """Refuse what cannot be asked of a part of the images.

    Raises:
        ConfigurationError: it is asked for.
    """
    if options.image_id == "stem":
        raise ConfigurationError(
            f"--image-id stem is not possible for {name}: another shard may hold the same names; use key or uri"
        )
    if options.prune:
        raise ConfigurationError(
            f"--prune is not possible for {name}, which is a part of the images; name a folder or a prefix"
        )


def local_shard(path: Path, options: RunOptions, stopping: threading.Event) -> ShardSource:
    """Open a shard file on disk: `s3://` URIs, or paths relative to the shard file itself."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the shard {path} cannot be read: {error.strerror}") from None

    def locate(key: str) -> tuple[str, str]:
        if key.startswith(S3_SCHEME):
            return key.removeprefix(S3_SCHEME).partition("/")[2], key
        return key, file_uri(Path(os.path.join(path.parent, key)))

    return ShardSource(str(path), _entries(str(path), data), locate, options, lambda: S3Reader(stopping))


def s3_shard(reader: S3Reader, bucket: str, key: str, options: RunOptions) -> ShardSource:
    """Open a shard file in S3: it lists keys of its own bucket."""
    name = f"s3://{bucket}/{key}"
    data = reader.find(bucket, key)
    if data is None:
        raise ConfigurationError(f"there is no shard {name}")
    return ShardSource(
        name, _entries(name, data), lambda each: (each, f"s3://{bucket}/{each}"), options, lambda: reader
    )


def _entries(name: str, data: bytes) -> list[Entry]:
    try:
        if name.lower().endswith(".txt"):
            # Editors on Windows put a mark in front, which is no part of the first key.
            lines = [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]
            return [Entry(key=line, etag=None, size=None) for line in lines if line.strip()]
        return list(parse_entries(data))
    except ValueError as error:
        raise ConfigurationError(f"{name} is not a shard: {error}") from None
