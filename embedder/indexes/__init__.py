"""Indexes: what finds the nearest vectors of a store without reading all of them. One file for each kind of store.

An index only proposes. Whoever searches reads the proposed vectors from the store and computes their cosines from its
bytes, so that no score is approximate. To add a kind, write a file beside these and give it a line in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import Vectors
from embedder.stores import Store
from embedder.system.doors import behind, scheme_of

KINDS = {
    "": "embedder.indexes.beside:FileBeside",
    "dynamodb": "embedder.indexes.dynamodb:TableKind",
}
"""What makes and opens the index of a store, by the scheme of the store's name. It is called with the open store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What `embedder index` made."""

    store: str
    index: str
    """Where the index is: a file, or a table's index."""
    fingerprint: str
    vectors: int
    """How many vectors the index covers."""
    dimension: int
    seconds: float
    figures: dict[str, Any]
    """What else is worth knowing of this kind of index, such as bytes, measured recall or write units, by name."""

    def as_json(self) -> dict[str, Any]:
        """Return what `embedder index --json` prints."""
        named = asdict(self)
        return {**{name: value for name, value in named.items() if name != "figures"}, **self.figures}


class SearchIndex(Protocol):
    """An open index of one kind of vectors. Every method may raise ConfigurationError or TransientError."""

    covers: str
    """The fingerprint of its vectors."""

    def candidates(self, direction: Vectors, k: int, prefix: str = "") -> Sequence[str]:
        """Return ids among which the `k` stored vectors nearest to a direction probably are.

        They may be many more than `k`, in any order, and some may no longer be stored. Fewer than `k` mean that the
        index cannot tell; then everything is read.

        Args:
            direction: of length one, (dimension,) float32.
            prefix: only ids that start with this.
        """

    def describe(self) -> str:
        """Return a clause that names the index, such as `the index vectors.db.index`, for a sentence."""

    def close(self) -> None:
        """Close files and connections."""


@runtime_checkable
class CellIndex(SearchIndex, Protocol):
    """An index that divides its vectors into cells of alike ones, which near-duplicates mostly share."""

    def cells(self, ids: Sequence[str], rows: Vectors) -> np.ndarray:
        """Return the cells nearest to each row, the nearest first, (n, cells) integers.

        Args:
            ids: of the rows.
            rows: (n, dimension) float32.
        """

    def pair_recall(self, threshold: float) -> float | None:
        """Return the measured share of pairs with that cosine or more that share a cell; None if none was sampled."""


class Kind(Protocol):
    """Makes and opens the index of one store."""

    def price(self, fingerprint: str | None) -> str | None:
        """Return a sentence with what making the index will cost, for a person to agree to; None if it is free."""

    def make(self, fingerprint: str | None) -> IndexReport:
        """Make the index, or bring it up to date.

        Args:
            fingerprint: only vectors made by this model and weights; needed if the store holds several.

        Raises:
            ConfigurationError: the store is empty or holds several kinds of vectors, or an index cannot be made.
            TransientError: the store does not answer, or the disk is full.
        """

    def open(self, fingerprint: str | None) -> SearchIndex | None:
        """Open the index for a search.

        Args:
            fingerprint: the kind of vectors that is searched; None for all vectors of the store, which then have to be
                of one kind.

        Returns:
            The index; None if the store never had one.

        Raises:
            UnusableIndexError: there is one that does not fit the search or what is stored now.
        """


class UnusableIndexError(ConfigurationError):
    """No index can serve a search. The text is a clause that says why: `it is older than the store`.

    Args:
        helps: whether `embedder index` would help.
    """

    def __init__(self, why: str, *, helps: bool = True) -> None:
        super().__init__(why)
        self.helps = helps

    def remedy(self, store: str) -> str:
        """Return what to do, as the end of a sentence; empty if making the index would not help."""
        return f". embedder index {store} makes the index anew" if self.helps else ""


def kind_for(store: Store) -> Kind | None:
    """Return what makes and opens the index of a store; None if there is no index for such stores."""
    where = KINDS.get(scheme_of(store.name))
    kind: Kind | None = None if where is None else behind(where)(store)
    return kind
