"""Indexes that find the nearest vectors without reading a whole store: one file for each kind of store.

To add a kind, write a file beside these and give it a line in `INDEXES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from embedder.errors import ConfigurationError
from embedder.records import Vectors
from embedder.stores import Store
from embedder.system.doors import behind, scheme_of
from embedder.vectors.search import Match

INDEXES = {
    "dynamodb": "embedder.indexes.dynamodb:TableIndex",
}
"""The class of each index, by the scheme of its store's name. It is called with the open store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an index found, or why it was not used."""

    matches: list[Match] | None
    """None if the whole store has to be read."""
    reason: str
    """Which index was searched, or why none was."""


class Index(Protocol):
    """The index of one store."""

    def nearest(self, query: Vectors, k: int, *, fingerprint: str, prefix: str = "") -> Answer:
        """Find the `k` stored vectors of a fingerprint with the largest cosine to a query.

        Args:
            query: (dimension,).
            fingerprint: that of the query's vector.
            prefix: only ids that start with this.

        Returns:
            Exact cosines, the largest first, or the reason why the index cannot be trusted with this search.
        """

    def build(self, agree: Callable[[str], None]) -> dict[str, Any]:
        """Make the index, or bring it up to date, and return what was done.

        Args:
            agree: called before anything is paid for, with what it costs; it raises if that is not agreed to.
        """


def has_index(store: str) -> bool:
    """Return whether stores of this kind can have an index, by the store's name."""
    return scheme_of(store) in INDEXES


def index_of(store: Store) -> Index | None:
    """Return the index of an open store; None if stores of its kind have none."""
    where = INDEXES.get(scheme_of(store.name))
    if where is None:
        return None
    index: Index = behind(where)(store)
    return index


def build(store: Store, agree: Callable[[str], None]) -> dict[str, Any]:
    """Make the index of an open store, or bring it up to date; see `Index.build`."""
    index = index_of(store)
    if index is None:
        raise ConfigurationError(f"{store.name} has no index; only dynamodb://TABLE has")
    return index.build(agree)
