"""A shard is a file that lists images: `.jsonl`, or the original sample's `.txt` with one key a line."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from embedder.errors import ConfigurationError
from embedder.records import Failure, Reference, Sample
from embedder.sources import S3_SCHEME, Readers, Selection, Source
from embedder.sources.folder import file_uri
from embedder.sources.naming import image_id
from embedder.sources.reader import S3Reader, split_uri
from embedder.sources.tar import ObjectTarReader, Tar, TarSource
from embedder.sources.web import web_readers
from embedder.system.doors import scheme_of
from submitter.manifest import Entry, parse_entries

Locate = Callable[[Entry], tuple[str, str]]
"""Turns an entry into the image's key and URI, or raises ValueError if nothing reads such addresses."""


class ShardSource:
    """The images that a shard lists, in the shard's order; see `Source`.

    Suffixes do not matter, because somebody chose these images. An image that is listed twice counts once.

    Args:
        readers: read the images. The source closes them.
    """

    def __init__(self, name: str, entries: list[Entry], locate: Locate, selection: Selection, readers: Readers) -> None:
        refuse_stems(name, selection)
        self.name = name
        self.entries = entries
        self.locate = locate
        self.selection = selection
        self.ignored: Counter[str] = Counter()
        self.total: int | None = len(entries)
        self.places = readers
        by_scheme = {scheme_of(uri): uri for _, uri in filter(None, map(self._place, entries))}
        opened = [readers.of(uri) for uri in by_scheme.values()]
        self.remote = any(each.remote for each in opened)
        self.readers = max((each.readers for each in opened), default=1)

    def references(self) -> Iterator[Reference | Failure]:
        seen: dict[str, str] = {}
        for entry in self.entries:
            place = self._place(entry)
            if place is None:
                message = "expected s3://BUCKET/KEY, https://HOST/PATH or http://HOST/PATH"
                yield Failure(image_id=entry.key, stage="list", error="BadAddress", message=message)
                continue
            key, uri = place
            identity = image_id(self.selection.image_id, key=key, uri=uri)
            if identity not in seen:
                seen[identity] = uri
                # S3 gives the current ETag when the object is read. For a local file the shard's may be out of date.
                etag = entry.etag if uri.startswith(S3_SCHEME) else None
                yield Reference(image_id=identity, uri=uri, etag=etag, size=entry.size)
            elif seen[identity] == uri:
                self.ignored["listed twice"] += 1
            else:
                message = f"{seen[identity]} and {uri} have the same id; use --image-id uri"
                yield Failure(image_id=identity, stage="check", error="Collision", message=message)

    def _place(self, entry: Entry) -> tuple[str, str] | None:
        try:
            return self.locate(entry)
        except ValueError:
            return None

    def read(self, reference: Reference) -> Sample:
        return self.places.read(reference)

    def close(self) -> None:
        self.places.close()


def refuse_stems(name: str, selection: Selection) -> None:
    """Refuse `--image-id stem`: a shard cannot show whether the ids of all images are unique.

    Raises:
        ConfigurationError: the selection has this mode.
    """
    if selection.image_id == "stem":
        raise ConfigurationError(
            f"--image-id stem is not possible for {name}: another shard may hold the same names; use key or uri"
        )


def open_local_shard(name: str, selection: Selection, stopping: threading.Event) -> ShardSource:
    """Open a shard file on disk, which lists `s3://` URIs or paths relative to itself; see `Opener`."""
    path = Path(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the shard {path} cannot be read: {error.strerror}") from None

    def locate(entry: Entry) -> tuple[str, str]:
        key = entry.key
        if entry.kind == "uri":
            return entry.located("")
        if key.startswith(S3_SCHEME):
            return key.removeprefix(S3_SCHEME).partition("/")[2], key
        return key, file_uri(Path(os.path.join(path.parent, key)))

    entries = _entries(name, data)
    if any(entry.kind == "tar" for entry in entries):
        raise ConfigurationError(f"{name} lists tar files, which only a shard in S3 can: name the tar files themselves")
    web = web_readers(selection, stopping)
    return ShardSource(name, entries, locate, selection, Readers(stopping, web))


def open_s3_shard(name: str, selection: Selection, stopping: threading.Event) -> Source:
    """Open a shard file in S3, which lists keys of its own bucket, or addresses; see `Opener`."""
    bucket, key = split_uri(name)
    return s3_shard(S3Reader(stopping), bucket, key, selection)


def s3_shard(reader: S3Reader, bucket: str, key: str, selection: Selection) -> Source:
    """Open a shard file in S3 with an existing reader."""
    name = f"s3://{bucket}/{key}"
    data = reader.find(bucket, key)
    if data is None:
        raise ConfigurationError(f"there is no shard {name}")
    entries = _entries(name, data)
    stopping = reader.patience.stopping
    if any(entry.kind == "tar" for entry in entries):
        return _tars(name, entries, bucket, selection, ObjectTarReader(stopping, reader))
    web = web_readers(selection, stopping)
    readers = Readers(stopping, {"s3": reader, **web})
    return ShardSource(name, entries, lambda entry: entry.located(bucket), selection, readers)


def _tars(name: str, entries: list[Entry], bucket: str, selection: Selection, reader: ObjectTarReader) -> TarSource:
    refuse_stems(name, selection)
    if not all(entry.kind == "tar" for entry in entries):
        raise ConfigurationError(f"{name} is not a shard: it lists both tar files and images")
    tars = [
        Tar(key=key, uri=uri, only=None if entry.only is None else frozenset(entry.only))
        for entry in entries
        for key, uri in [entry.located(bucket)]
    ]
    return TarSource(name, tars, selection, reader)


def _entries(name: str, data: bytes) -> list[Entry]:
    try:
        if name.lower().endswith(".txt"):
            # Editors on Windows write a byte order mark first, which is not part of the first key.
            lines = [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]
            return [Entry(key=line, etag=None, size=None) for line in lines if line.strip()]
        return list(parse_entries(data))
    except ValueError as error:
        raise ConfigurationError(f"{name} is not a shard: {error}") from None
