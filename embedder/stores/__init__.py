"""Where vectors live: one file for each kind of store behind one small protocol.

To add a kind, write a file beside these and give it a line in `STORES`.
"""

from __future__ import annotations

import pkgutil
import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

from embedder.errors import ConfigurationError
from embedder.records import Block, StoredVector, VectorInfo

DYNAMODB_SCHEME = "dynamodb://"

STORES = {
    "": "embedder.stores.sqlite:SQLiteStore",
    "dynamodb": "embedder.stores.dynamodb:DynamoDBStore",
}
"""The class of each store, by the scheme of its name; a path has none. It is called as an `Opener`."""


class Store(Protocol):
    """A place for vectors, by image id.

    Every method may be called from several threads at once, and raises ConfigurationError or
    TransientError.
    """

    name: str
    """As the user wrote it."""
    group: int | None
    """The most vectors that one `write` takes; None: as many as there are."""
    writers: int
    """How many `write` calls at once are worth while."""
    lookup_group: int
    """How many ids one `lookup` is best given."""
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


class Opener(Protocol):
    """Opens a store."""

    def __call__(self, name: str, *, must_exist: bool, stopping: threading.Event) -> Store: ...


def open_store(name: str, *, must_exist: bool = False, stopping: threading.Event | None = None) -> Store:
    """Open `dynamodb://table`, or the SQLite file at a path.

    Args:
        must_exist: refuse a SQLite file that is not there. A DynamoDB table has to exist anyway.
        stopping: when set, waiting for a broken network ends.

    Raises:
        ConfigurationError: the store is not there, or is not a store of vectors.
        TransientError: the store does not answer.
    """
    scheme, separator, _ = name.partition("://")
    where = STORES.get(scheme if separator else "")
    if where is None:
        raise ConfigurationError(
            f"{name} is not a store: expected dynamodb://TABLE or the path of a SQLite file, such as vectors.db"
        )
    opener: Opener = pkgutil.resolve_name(where)
    return opener(name, must_exist=must_exist, stopping=stopping or threading.Event())
