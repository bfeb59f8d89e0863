"""Where vectors live: one file per store behind one small protocol."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

from embedder.errors import ConfigurationError
from embedder.records import Block, StoredVector, VectorInfo

DYNAMODB_SCHEME = "dynamodb://"


class Store(Protocol):
    """A place for vectors, by image id.

    Every method may be called from several threads at once, and raises ConfigurationError or
    TransientError.
    """

    name: str
    """As the user wrote it."""
    group: int | None
    """The most vectors that one `write` takes at once; None: as many as there are."""
    writers: int
    """How many `write` calls at once are worth while."""
    max_id_bytes: int
    """Longer ids, in UTF-8, cannot be stored."""

    def prepare(self) -> None:
        """Find out, before any work is spent, whether the store can be written."""

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        """Return what is known of those ids that are stored."""

    def sample(self) -> VectorInfo | None:
        """Return any one stored vector's description, None from an empty store."""

    def write(self, vectors: Sequence[StoredVector]) -> None:
        """Store vectors, replacing those of the same ids; the ids differ from each other.

        Raises:
            RejectedError: the store refuses one of them; some others may be stored.
        """

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        """Yield the stored vectors of those ids, in any order; missing ones are absent."""

    def blocks(self, prefix: str = "") -> Iterator[Block]:
        """Yield all vectors whose id starts with `prefix`, in an order that stays the same."""

    def describe(self) -> Iterator[VectorInfo]:
        """Yield what is known of every vector, in any order, without the vectors."""

    def delete(self, image_ids: Sequence[str]) -> None:
        """Remove vectors."""

    def close(self) -> None:
        """Let go of files and connections."""


def open_store(name: str, *, must_exist: bool = False, stopping: threading.Event | None = None) -> Store:
    """Open `dynamodb://table` or the SQLite file at a path.

    Args:
        must_exist: refuse a SQLite file that is not there. A DynamoDB table has to exist anyway.
        stopping: when set, waiting for a broken network ends.

    Raises:
        ConfigurationError: it is not there, or is not a store of vectors.
        TransientError: it does not answer.
    """
    stopping = stopping or threading.Event()
    if name.startswith(DYNAMODB_SCHEME):
        from embedder.stores.dynamodb import DynamoDBStore

        return DynamoDBStore(name, stopping=stopping)
    if "://" in name:
        raise ConfigurationError(
            f"{name} is not a store: expected dynamodb://TABLE or the path of a SQLite file, such as vectors.db"
        )
    from embedder.stores.sqlite import SQLiteStore

    return SQLiteStore(name, must_exist=must_exist)
