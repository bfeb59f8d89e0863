"""One shard: a file that lists images, `.jsonl` or the original sample's `.txt` with a key per line."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from embedder.errors import ConfigurationError
from embedder.records import Failure, Reference, Sample
from embedder.sources import S3_SCHEME, Readers, Selection, scheme_of
from embedder.sources.folder import file_uri
from embedder.sources.naming import image_id
from embedder.sources.reader import S3Reader, split_uri
from submitter.manifest import Entry, parse_entries

Locate = Callable[[str], tuple[str, str]]
"""From an entry's key to the image's key and URI."""


class ShardSource:
    """The images that a shard lists, in its order; see `Source`.

    Somebody chose them, so suffixes do not matter. An image that is listed twice counts once.

    Args:
        locate: turns an entry's key into the image's key and URI.
        readers: read the images; closed with this source.
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
        schemes = {scheme_of(locate(entry.key)[1]): locate(entry.key)[1] for entry in entries}
        opened = [readers.of(uri) for uri in schemes.values()]
        self.remote = any(each.remote for each in opened)
        self.readers = max((each.readers for each in opened), default=1)

    def references(self) -> Iterator[Reference | Failure]:
        seen: dict[str, str] = {}
        for entry in self.entries:
            key, uri = self.locate(entry.key)
            identity = image_id(self.selection.image_id, key=key, uri=uri)
            if identity not in seen:
                seen[identity] = uri
                # What a shard says of a local file's content may be out of date; S3 is asked for the ETag itself.
                etag = entry.etag if uri.startswith(S3_SCHEME) else None
                yield Reference(image_id=identity, uri=uri, etag=etag, size=entry.size)
            elif seen[identity] == uri:
                self.ignored["listed twice"] += 1
            else:
                message = f"{seen[identity]} and {uri} have the same id; use --image-id uri"
                yield Failure(image_id=identity, stage="check", error="Collision", message=message)

    def read(self, reference: Reference) -> Sample:
        return self.places.read(reference)

    def close(self) -> None:
        self.places.close()


def refuse_stems(name: str, selection: Selection) -> None:
    """Refuse ids that only a look at all images shows to be unique.

    Raises:
        ConfigurationError: they are asked for.
    """
    if selection.image_id == "stem":
        raise ConfigurationError(
            f"--image-id stem is not possible for {name}: another shard may hold the same names; use key or uri"
        )


def open_local_shard(name: str, selection: Selection, stopping: threading.Event) -> ShardSource:
    """Open a shard file on disk, of `s3://` URIs or of paths relative to the shard file; see `Opener`."""
    path = Path(name)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the shard {path} cannot be read: {error.strerror}") from None

    def locate(key: str) -> tuple[str, str]:
        if key.startswith(S3_SCHEME):
            return key.removeprefix(S3_SCHEME).partition("/")[2], key
        return key, file_uri(Path(os.path.join(path.parent, key)))

    return ShardSource(name, _entries(name, data), locate, selection, Readers(stopping))


def open_s3_shard(name: str, selection: Selection, stopping: threading.Event) -> ShardSource:
    """Open a shard file in S3, which lists keys of its own bucket; see `Opener`."""
    bucket, key = split_uri(name)
    return s3_shard(S3Reader(stopping), bucket, key, selection)


def s3_shard(reader: S3Reader, bucket: str, key: str, selection: Selection) -> ShardSource:
    """Open a shard file in S3 with a reader that is there already."""
    name = f"s3://{bucket}/{key}"
    data = reader.find(bucket, key)
    if data is None:
        raise ConfigurationError(f"there is no shard {name}")
    readers = Readers(reader.patience.stopping)
    readers.opened["s3"] = reader
    return ShardSource(name, _entries(name, data), lambda each: (each, f"s3://{bucket}/{each}"), selection, readers)


def _entries(name: str, data: bytes) -> list[Entry]:
    try:
        if name.lower().endswith(".txt"):
            # Editors on Windows put a mark at the start, which is not part of the first key.
            lines = [line.removesuffix("\r") for line in data.decode("utf-8-sig").split("\n")]
            return [Entry(key=line, etag=None, size=None) for line in lines if line.strip()]
        return list(parse_entries(data))
    except ValueError as error:
        raise ConfigurationError(f"{name} is not a shard: {error}") from None
