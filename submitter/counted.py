"""A number and what it counts, in words."""

from __future__ import annotations


def counted(count: int, noun: str) -> str:
    """Return `1 shard`, `2 shards`."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
