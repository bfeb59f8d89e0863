"""`embedder index dynamodb://table`: writes every vector for the vector index, and makes the index."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from embedder.errors import ConfigurationError
from embedder.indexes import IndexReport
from embedder.records import KEY, StoredVector
from embedder.stores import vector_index
from embedder.stores.dynamodb import CONNECTIONS, LOOK_AGAIN_SECONDS, DynamoDBStore, item_of
from embedder.stores.item_size import item_bytes, write_units
from embedder.stores.vector_index import ATTRIBUTE, FILTER, VectorIndex
from embedder.system import aws
from embedder.system.steps import step
from embedder.system.threads import parallel_map

logger = logging.getLogger("embedder")

POLL_SECONDS = 5.0
"""Between two looks at an index that DynamoDB is building, which takes minutes even for a small table."""

WRITE_PER_MILLION = 0.625
READ_PER_MILLION = 0.125
VECTOR_WRITE_PER_GB = 0.52
"""US dollars in us-east-1: units of on-demand tables, and bytes that are written to a vector index."""
LEAST_VECTOR_WRITE = 1024
"""The fewest bytes that a write to a vector index is charged for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What the index costs once; storage and searches are extra."""

    vectors: int
    """How many the table holds, at most; those that are written for an index already cost only their reading."""
    units: int
    """Write units of one of them."""
    dollars: float

    def __str__(self) -> str:
        return (
            f"at most {self.vectors:,} vectors × {self.units} write units, the reading, and the index: "
            f"${self.dollars:,.2f} at the list prices of us-east-1"
        )


class Backfill:
    """Makes a table's vector index after every vector is written for it.

    In this order, an index that exists is one that holds every vector. It can be ended at any time and run again: it
    writes what is missing alone.

    Args:
        settle: how long writers may take to see that the table has an index.
    """

    def __init__(self, store: DynamoDBStore, *, settle: float = LOOK_AGAIN_SECONDS, poll: float = POLL_SECONDS) -> None:
        self.store = store
        self.settle = settle
        self.poll = poll
        self.waiting: threading.Event = store.patience.stopping
        self.counts: Counter[str] = Counter()

    def run(self, fingerprint: str | None) -> IndexReport:
        """Write for the index, make it, and wait until DynamoDB has built it.

        Args:
            fingerprint: which vectors say how long all of them are; None for any.

        Raises:
            ConfigurationError: the table cannot have such an index.
            TransientError: the table does not answer.
        """
        start = time.monotonic()
        sample = self._sample(fingerprint)
        table = self.store.describe_table()
        vector_index.check(table, sample.dimension)
        self._write_missing(sample.dimension)
        if VectorIndex.of(table) is None:
            self._create(sample.dimension)
            with step("waiting until every writer knows of the index"):
                self.waiting.wait(self.settle)
            self._write_missing(sample.dimension)
        index = self._built()
        return IndexReport(
            store=self.store.name,
            index=index.name,
            fingerprint=sample.fingerprint,
            vectors=self.store.describe_table().get("ItemCount", 0) - self.counts["left"],
            dimension=index.dimension,
            seconds=round(time.monotonic() - start, 1),
            figures={name: self.counts[name] for name in ("written", "changed", "left")},
        )

    def price(self, fingerprint: str | None) -> Price:
        """Price the work by one vector and the table's own count, or by counting if DynamoDB has not counted yet."""
        sample = self._sample(fingerprint)
        table = self.store.describe_table()
        vector_index.check(table, sample.dimension)
        count = table.get("ItemCount", 0) or self._count()
        before = item_bytes(item_of(sample, listed=False))
        units = write_units(item_bytes(item_of(sample, listed=True)))
        indexed = max(LEAST_VECTOR_WRITE, 4 * sample.dimension + len(sample.image_id) + len(sample.fingerprint))
        reads = 2 * before / 4096 / 2  # two passes, half a unit for each 4 KiB
        each = (units * WRITE_PER_MILLION + reads * READ_PER_MILLION) / 10**6 + indexed / 2**30 * VECTOR_WRITE_PER_GB
        return Price(vectors=count, units=units, dollars=count * each)

    def _sample(self, fingerprint: str | None) -> StoredVector:
        """Return one stored vector.

        Raises:
            ConfigurationError: there is none.
        """
        kinds = self.store.describe() if fingerprint else iter([self.store.sample()])
        found = next((each for each in kinds if each is not None and fingerprint in (None, each.fingerprint)), None)
        stored = [] if found is None else list(self.store.get([found.image_id]))
        if not stored:
            raise ConfigurationError(
                f"there is no vector in {self.store.name} whose length an index could have; embed some images first, "
                "with `embedder run … --index`"
            )
        return stored[0]

    def _count(self) -> int:
        with step("counting the vectors", unit="vectors") as advance:
            total = 0
            for page in self.store.pages({"Select": "COUNT"}):
                total += page["Count"]
                advance(page["Count"])
        return total

    def _write_missing(self, dimension: int) -> None:
        """Write every vector that the index would miss as a list of numbers, too."""
        with step("writing for the index", unit="vectors") as advance:
            for outcome in parallel_map(
                self._write,
                self._missing(dimension),
                workers=CONNECTIONS,
                depth=lambda: 2 * CONNECTIONS,
                name="index",
            ):
                self.counts[outcome] += 1
                advance(1)

    def _missing(self, dimension: int) -> Iterator[StoredVector]:
        self.counts["left"] = 0
        for stored in self.store.without(ATTRIBUTE):
            if stored.dimension == dimension:
                yield stored
            else:
                self.counts["left"] += 1

    def _write(self, stored: StoredVector) -> str:
        """Add the list of numbers to an item whose vector is still the one that was read."""
        try:
            self.store.call(
                lambda: self.store.client.update_item(
                    TableName=self.store.table,
                    Key={KEY: {"S": stored.image_id}},
                    UpdateExpression="SET #list = :list",
                    ConditionExpression="#vector = :vector AND attribute_not_exists(#list)",
                    ExpressionAttributeNames={"#list": ATTRIBUTE, "#vector": "Vector"},
                    ExpressionAttributeValues={
                        ":list": {"L": vector_index.listed(vector_index.decoded(stored))},
                        ":vector": {"B": stored.vector},
                    },
                )
            )
        except ConfigurationError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and aws.error_code(cause) == "ConditionalCheckFailedException":
                return "changed"
            raise
        return "written"

    def _create(self, dimension: int) -> None:
        with aws.sentences(f"a vector index of the table {self.store.table}"):
            self.store.patience.call(
                self.store.client.update_table,
                TableName=self.store.table,
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in (KEY, FILTER)],
                VectorIndexUpdates=[{"Create": vector_index.definition(dimension)}],
            )
        logger.info("the table %s has a vector index now, which DynamoDB is building", self.store.table)

    def _built(self) -> VectorIndex:
        """Wait until DynamoDB has built the index, and return it.

        Raises:
            ConfigurationError: somebody has deleted it.
        """
        with step("waiting until DynamoDB has built the index"):
            while True:
                index = VectorIndex.of(self.store.describe_table())
                if index is None:
                    raise ConfigurationError(f"the vector index of {self.store.name} was deleted meanwhile")
                if index.active or self.waiting.wait(self.poll):
                    return index
