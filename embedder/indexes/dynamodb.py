"""Search in DynamoDB itself, with the vector index of a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from embedder.errors import ConfigurationError, TransientError
from embedder.indexes import Answer
from embedder.indexes.backfill import Backfill
from embedder.records import KEY, Vectors
from embedder.stores.dynamodb import DynamoDBStore
from embedder.stores.vector_index import FILTER, LARGEST_TOP_K, VectorIndex, listed
from embedder.system import aws
from embedder.vectors.reader import numbers
from embedder.vectors.search import Match, cosines, unit

SPARE = 10
"""Results that are asked for beyond `k`: some may have been deleted or changed since the index saw them."""


class TableIndex:
    """The vector index of a DynamoDB table; see `Index`.

    It is used if it is known to hold every vector. DynamoDB counts both the items of the table and those of the index,
    every six hours. Within these hours the writers keep the promise: whoever opens a table that has an index writes
    for it, and `embedder index` makes the index after every vector is written for it.
    """

    def __init__(self, store: DynamoDBStore) -> None:
        self.store = store

    def nearest(self, query: Vectors, k: int, *, fingerprint: str, prefix: str = "") -> Answer:
        index = VectorIndex.of(self.store.describe_table())
        reason = _unfit(self.store.table, index, query, k, fingerprint)
        if index is None or reason:
            return Answer(matches=None, reason=reason)
        try:
            found = self._search(index, query, LARGEST_TOP_K if prefix else k + SPARE, fingerprint)
        except (TransientError, ConfigurationError) as error:
            return Answer(matches=None, reason=f"the vector index {index.name} does not answer: {error}")
        matches = self._compared([each for each in found if each.startswith(prefix)], query, fingerprint)
        if len(matches) < k:
            which = f" that start with {prefix!r}" if prefix else ""
            return Answer(matches=None, reason=f"the vector index {index.name} gave only {len(matches)} ids{which}")
        return Answer(matches=matches[:k], reason=f"the vector index {index.name} of the table {self.store.table}")

    def build(self, agree: Callable[[str], None]) -> dict[str, Any]:
        return Backfill(self.store).run(agree)

    def _search(self, index: VectorIndex, query: Vectors, most: int, fingerprint: str) -> list[str]:
        """Return the ids of the nearest vectors, as the service sees them."""
        patience = aws.Patience(self.store.patience.stopping, aws.START_PATIENCE_SECONDS)
        with aws.sentences(f"the vector index {index.name}"):
            answer = patience.call(
                self.store.client.search_vectors,
                TableName=self.store.table,
                IndexName=index.name,
                SearchVector=listed(unit(query[None])[0]),
                TopK=min(most, LARGEST_TOP_K),
                SearchConditionExpression="#filter = :fingerprint",
                ProjectionExpression="#id",
                ExpressionAttributeNames={"#filter": FILTER, "#id": KEY},
                ExpressionAttributeValues={":fingerprint": {"S": fingerprint}},
            )
        return [each["Item"][KEY]["S"] for each in answer["SearchResults"]]

    def _compared(self, image_ids: list[str], query: Vectors, fingerprint: str) -> list[Match]:
        """Return the matches among these ids, by the vectors that the table has now."""
        stored = [each for each in self.store.get(image_ids) if each.fingerprint == fingerprint]
        if not stored:
            return []
        rows = np.stack([numbers(each, self.store.name).astype(np.float32) for each in stored])
        scores = cosines(rows, unit(query[None])[0])
        matches = [Match(each.image_id, float(score)) for each, score in zip(stored, scores, strict=True)]
        return sorted(matches, key=lambda match: (-match.score, match.image_id))


def _unfit(table: str, index: VectorIndex | None, query: Vectors, k: int, fingerprint: str) -> str:
    """Say why the index cannot answer this search; nothing if it can."""
    if index is None:
        return f"the table {table} has no vector index (embedder index makes one)"
    if not index.active:
        return f"the vector index {index.name} is still being built"
    if index.dimension != len(query):
        return f"the vector index {index.name} is for {index.dimension:,} numbers and the query has {len(query):,}"
    if not 0 < index.table_items <= index.items:
        return (
            f"the vector index {index.name} held {index.items:,} of {index.table_items:,} items when DynamoDB last "
            "counted, which it does every six hours (embedder index adds what is missing)"
        )
    if k > LARGEST_TOP_K:
        return f"a vector index gives at most {LARGEST_TOP_K} results"
    if not fingerprint:
        return "it is unknown which model made the query's vector"
    if not query.any():
        return "the query's vector is zero and has no direction"
    return ""
