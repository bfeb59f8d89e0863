"""Search in DynamoDB itself, with the vector index of a table."""

from __future__ import annotations

from collections.abc import Sequence

from embedder.errors import EmbedderError
from embedder.indexes import IndexReport, UnusableIndexError
from embedder.indexes.backfill import Backfill
from embedder.records import KEY, Vectors
from embedder.stores.dynamodb import DynamoDBStore
from embedder.stores.vector_index import FILTER, LARGEST_TOP_K, VectorIndex, listed
from embedder.system import aws

SPARE = 10
"""Results that are asked for beyond `k`: some may have been deleted or changed since the index saw them."""


class TableKind:
    """Makes and opens the vector index of a DynamoDB table; see `Kind`.

    It is opened if it is known to hold every vector. DynamoDB counts the items of the table and of the index every
    six hours. Within these hours the writers keep the promise: whoever opens a table that has an index writes
    for it, and the index is made after every vector is written for it.
    """

    def __init__(self, store: DynamoDBStore) -> None:
        self.store = store

    def price(self, fingerprint: str | None) -> str | None:
        return f"{self.store.name}: {Backfill(self.store).price(fingerprint)}"

    def make(self, fingerprint: str | None) -> IndexReport:
        return Backfill(self.store).run(fingerprint)

    def open(self, fingerprint: str | None) -> TableIndex:
        index = VectorIndex.of(self.store.describe_table())
        if index is None:
            raise UnusableIndexError(f"the table {self.store.table} has no vector index")
        if not index.active:
            raise UnusableIndexError(f"the vector index {index.name} is still being built", helps=False)
        if not 0 < index.table_items <= index.items:
            raise UnusableIndexError(
                f"the vector index {index.name} held {index.items:,} of {index.table_items:,} items when DynamoDB last "
                "counted, which it does every six hours"
            )
        if fingerprint is None:
            sample = self.store.sample()
            fingerprint = "" if sample is None else sample.fingerprint
        if not fingerprint:
            raise UnusableIndexError("it is unknown which model made the vectors", helps=False)
        return TableIndex(self.store, index, covers=fingerprint)


class TableIndex:
    """A complete vector index, of which the vectors of one fingerprint are searched; see `SearchIndex`."""

    def __init__(self, store: DynamoDBStore, index: VectorIndex, *, covers: str) -> None:
        self.store = store
        self.index = index
        self.covers = covers

    def candidates(self, direction: Vectors, k: int, prefix: str = "") -> Sequence[str]:
        """Return the nearest ids, as the service sees them.

        Raises:
            UnusableIndexError: the index is for other vectors, or it does not answer.
        """
        if self.index.dimension != len(direction):
            raise UnusableIndexError(
                f"the vector index {self.index.name} is for {self.index.dimension:,} numbers and the query has "
                f"{len(direction):,}",
                helps=False,
            )
        if k > LARGEST_TOP_K:
            raise UnusableIndexError(f"a vector index gives at most {LARGEST_TOP_K} results", helps=False)
        if not direction.any():
            raise UnusableIndexError("the query's vector is zero and has no direction", helps=False)
        try:
            found = self._search(direction, LARGEST_TOP_K if prefix else min(k + SPARE, LARGEST_TOP_K))
        except EmbedderError as error:
            why = f"the vector index {self.index.name} does not answer: {error}"
            raise UnusableIndexError(why, helps=False) from error
        return [each for each in found if each.startswith(prefix)]

    def describe(self) -> str:
        return f"the vector index {self.index.name} of the table {self.store.table}"

    def close(self) -> None:
        """Do nothing: the connections are the store's."""

    def _search(self, direction: Vectors, most: int) -> list[str]:
        patience = aws.Patience(self.store.patience.stopping, aws.START_PATIENCE_SECONDS)
        with aws.sentences(f"the vector index {self.index.name}"):
            answer = patience.call(
                self.store.client.search_vectors,
                TableName=self.store.table,
                IndexName=self.index.name,
                SearchVector=listed(direction),
                TopK=most,
                SearchConditionExpression="#filter = :fingerprint",
                ProjectionExpression="#id",
                ExpressionAttributeNames={"#filter": FILTER, "#id": KEY},
                ExpressionAttributeValues={":fingerprint": {"S": self.covers}},
            )
        return [each["Item"][KEY]["S"] for each in answer["SearchResults"]]
