"""A stream of entries cut into shards, and the shards put into the bucket."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from submitter.flight import in_flight
from submitter.manifest import Entry
from submitter.objects import Objects

MAX_SHARD_BYTES = 8 * 2**30
"""The most bytes of images in a shard that has more than one: at a slow 20 MB/s, seven minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    number: int
    body: bytes


def cut(entries: Iterable[Entry], size: int, max_bytes: int = MAX_SHARD_BYTES) -> Iterator[Shard]:
    """Shards of `size` entries each, the last one shorter.

    A shard also ends where another entry would take its images past `max_bytes`, so that a thousand
    huge ones do not outlive the job's timeout. An image larger than that has a shard of its own.
    """
    number, lines, held = 0, list[str](), 0
    for entry in entries:
        grown = held + (entry.size or 0)
        if lines and (len(lines) == size or grown > max_bytes):
            yield _shard(number, lines)
            number, lines, grown = number + 1, [], entry.size or 0
        lines.append(entry.to_line())
        held = grown
    if lines:
        yield _shard(number, lines)


def _shard(number: int, lines: list[str]) -> Shard:
    return Shard(number=number, body="".join(lines).encode("ascii"))


def put_shards(objects: Objects, shards: Iterable[Shard], key_of: Callable[[int], str]) -> int:
    """Put every shard while the next ones are being listed, and return how many there were."""
    return sum(1 for _ in in_flight(lambda shard: objects.put(key_of(shard.number), shard.body), shards))


def put_shards_once(objects: Objects, shards: Iterable[Shard], key_of: Callable[[int], str]) -> int:
    """The same, leaving alone what is already there."""
    return sum(1 for _ in in_flight(lambda shard: objects.put_once(key_of(shard.number), shard.body), shards))
