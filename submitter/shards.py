"""Cut a stream of entries into shards, and write the shards into the bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from submitter.manifest import Entry, RunKind
from submitter.objects import Objects
from submitter.parallel import parallel_map

MAX_SHARD_BYTES = 8 * 2**30
"""The most bytes of images in a shard with more than one image: seven minutes at a slow 20 MB/s."""

TAR_SHARD_BYTES = 2**30
"""The same for tar files. With 100 kB an image these are 10,000 images, as many as a shard of images may have."""

SHARD_BYTES: dict[RunKind, int] = {
    "images": MAX_SHARD_BYTES,
    "addresses": MAX_SHARD_BYTES,
    "tars": TAR_SHARD_BYTES,
}

UNKNOWN_TAR_BYTES = 2**26
"""Assumed for a tar file that was not there when it was listed, so that sixteen such files make a shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The number of a shard and its content as JSON lines."""

    number: int
    body: bytes


def cut(entries: Iterable[Entry], size: int, max_bytes: int = MAX_SHARD_BYTES) -> Iterator[Shard]:
    """Yield shards of `size` entries each; the last one may be shorter.

    A shard also ends before its images would exceed `max_bytes`, so that a thousand large images do not outlast the
    job's timeout. A single image or tar file above the limit becomes a shard of its own.
    """
    number, lines, held = 0, list[str](), 0
    for entry in entries:
        added = _bytes_of(entry)
        grown = held + added
        if lines and (len(lines) == size or grown > max_bytes):
            yield _shard(number, lines)
            number, lines, grown = number + 1, [], added
        lines.append(entry.to_line())
        held = grown
    if lines:
        yield _shard(number, lines)


def _bytes_of(entry: Entry) -> int:
    if entry.size is None:
        return UNKNOWN_TAR_BYTES if entry.kind == "tar" else 0
    return entry.size


def _shard(number: int, lines: list[str]) -> Shard:
    return Shard(number=number, body="".join(lines).encode("ascii"))


def put_shards(objects: Objects, shards: Iterable[Shard], key_of: Callable[[int], str]) -> int:
    """Write every shard while the next ones are being listed, and return their number."""
    return sum(1 for _ in parallel_map(lambda shard: objects.put(key_of(shard.number), shard.body), shards))


def put_shards_once(objects: Objects, shards: Iterable[Shard], key_of: Callable[[int], str]) -> int:
    """Do the same, but leave objects that already exist unchanged."""
    return sum(1 for _ in parallel_map(lambda shard: objects.put_once(key_of(shard.number), shard.body), shards))
