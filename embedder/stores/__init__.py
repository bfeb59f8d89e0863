"""Where vectors live: one file for each kind of store behind one small protocol.

To add a kind, write a file beside these and give it a line in `STORES`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Protocol

from embedder.errors import ConfigurationError
from embedder.records import Block, StoredVector, VectorInfo
from embedder.system.doors import behind, scheme_of

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
    """The most vectors that one `write` takes; None: any number."""
    writers: int
    """How many threads may usefully call `write` at once."""
    lookup_group: int
    """How many ids one `lookup` is best given."""
    max_id_bytes: int
    """The longest id that can be stored, in bytes of UTF-8."""

    def prepare(self, *, index: int | None = None) -> None:
        """Find out, before any work is spent, whether the store can be written.

        Args:
            index: the dimension of the vectors to come, if each has to be written for the store's own index, too.

        Raises:
            ConfigurationError: the store cannot be written, or it has no such index.
        """

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        """Return, without their numbers, the vectors of those ids that are stored."""

    def sample(self) -> VectorInfo | None:
        """Return any one stored vector without its numbers, None from an empty store."""

    def write(self, vectors: Sequence[StoredVector]) -> None:
        """Store vectors, each in place of the one that has the same id. No id may be given twice.

        Raises:
            RejectedError: the store refuses one of them; others may have been stored.
        """

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        """Yield the vectors of those ids that are stored, in any order."""

    def blocks(self, prefix: str = "", *, metadata: bool = False) -> Iterator[Block]:
        """Yield all vectors whose id starts with `prefix`, in an order that stays the same.

        Args:
            metadata: whether the blocks have the columns of `--metadata`, too.
        """

    def describe(self) -> Iterator[VectorInfo]:
        """Yield every vector without its numbers, in any order."""

    def delete(self, image_ids: Sequence[str]) -> None:
        """Delete the vectors of those ids that are stored."""

    def close(self) -> None:
        """Close files and connections."""


class Opener(Protocol):
    """Opens a store."""

    def __call__(self, name: str, *, must_exist: bool, stopping: threading.Event) -> Store: ...


def open_store(name: str, *, must_exist: bool = False, stopping: threading.Event | None = None) -> Store:
    """Open `dynamodb://table`, or the SQLite file at a path.

    Args:
        must_exist: refuse a SQLite file that does not exist. A DynamoDB table always has to exist.
        stopping: once it is set, waiting for a broken network ends.

    Raises:
        ConfigurationError: the store does not exist, or is not one of vectors.
        TransientError: the store does not answer.
    """
    where = STORES.get(scheme_of(name))
    if where is None:
        raise ConfigurationError(
            f"{name} is not a store: expected dynamodb://TABLE or the path of a SQLite file, such as vectors.db"
        )
    opener: Opener = behind(where)
    return opener(name, must_exist=must_exist, stopping=stopping or threading.Event())
