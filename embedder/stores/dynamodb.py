"""The store in the cloud: a DynamoDB table with one item for each vector."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from botocore.exceptions import ClientError

from embedder.errors import ConfigurationError, RejectedError, TransientError
from embedder.records import (
    ATTRIBUTES,
    BLOCK_ATTRIBUTES,
    INFO_ATTRIBUTES,
    KEY,
    METADATA_ATTRIBUTES,
    Attribute,
    Block,
    StoredVector,
    VectorInfo,
)
from embedder.stores import DYNAMODB_SCHEME, vector_index
from embedder.stores.vector_index import VectorIndex
from embedder.system import aws
from embedder.system.threads import grouped, parallel_map, thread_pool

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef

TYPES = {str: "S", int: "N", float: "N", bytes: "B"}

WRITE_LIMIT = 25
"""Items in a BatchWriteItem."""
READ_LIMIT = 100
"""Keys in a BatchGetItem."""
CONNECTIONS = 16
SEGMENTS = 8
"""A scan reads this many parts of the table at once, one page of each in memory."""

LOOK_AGAIN_SECONDS = 60.0
"""How long a writer goes by what it knows of the table's vector index. `embedder index` waits this long between the
making of an index and its look for vectors that the index misses."""

Item = dict[str, Any]
T = TypeVar("T")


def _only(attributes: Iterable[Attribute]) -> dict[str, Any]:
    """Return the options of a read that gives these attributes alone."""
    names = [each.name for each in attributes]
    return {
        # Some of the names are reserved words in expressions, so every one is given by an alias.
        "ProjectionExpression": ", ".join(f"#{name}" for name in names),
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
    }


INFO_ONLY = _only(INFO_ATTRIBUTES)


class UnprocessedError(TransientError):
    """DynamoDB took a part of a batch; the rest has to be sent again."""


class DynamoDBStore:
    """Vectors in a DynamoDB table whose partition key is `ImageId`; see `Store`."""

    group: int | None = WRITE_LIMIT
    writers = 8
    lookup_group = READ_LIMIT
    max_id_bytes = 2048
    """The most that a partition key may have."""

    def __init__(
        self,
        name: str,
        *,
        stopping: threading.Event,
        must_exist: bool = True,  # noqa: ARG002 - as of every store; a table always has to
        watch: Callable[[DynamoDBClient], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.table = name.removeprefix(DYNAMODB_SCHEME)
        if not self.table or "/" in self.table:
            raise ConfigurationError(f"{name} is not a store: expected dynamodb://TABLE")
        self.client = aws.dynamodb_client(CONNECTIONS)
        watch(self.client)
        self.patience = aws.Patience(stopping)
        self.looking = threading.Lock()
        self.described = self._described(aws.Patience(stopping, aws.START_PATIENCE_SECONDS))
        self.looked = time.monotonic()
        self._check(self.described)
        self.always_listed = False

    def describe_table(self) -> TableDescriptionTypeDef:
        """Look at the table, which costs nothing."""
        return self._described(self.patience)

    def _described(self, patience: aws.Patience) -> TableDescriptionTypeDef:
        with aws.sentences(f"the table {self.table}"):
            try:
                return patience.call(self.client.describe_table, TableName=self.table)["Table"]
            except ClientError as error:
                if aws.error_code(error) != "ResourceNotFoundException":
                    raise
                region = self.client.meta.region_name
                raise ConfigurationError(
                    f"there is no DynamoDB table {self.table} in {region}; make it with the partition key "
                    f"{KEY} of type S, or check the name and the region"
                ) from None

    def _check(self, table: TableDescriptionTypeDef) -> None:
        key = {element["AttributeName"]: element["KeyType"] for element in table["KeySchema"]}
        kinds = {each["AttributeName"]: each["AttributeType"] for each in table["AttributeDefinitions"]}
        if key != {KEY: "HASH"} or kinds[KEY] != "S":
            found = " and ".join(f"{name} ({kinds[name]}, {kind})" for name, kind in key.items())
            raise ConfigurationError(
                f"the table {self.table} has the key {found}; expected the partition key {KEY} of type S alone"
            )

    def prepare(self, *, index: int | None = None) -> None:
        """Check what a vector index needs; opening has looked at the table, and more cannot be found out for free."""
        if index is not None:
            vector_index.check(self.described, index)
            self.always_listed = True

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        found = map(self._info, self._batch_get(image_ids, INFO_ONLY))
        return {each.image_id: each for each in found}

    def sample(self) -> VectorInfo | None:
        items = self._scan_page({"Limit": 1})["Items"]
        return self._info(items[0]) if items else None

    def write(self, vectors: Sequence[StoredVector]) -> None:
        listed = self._listed_dimension()
        self._batch_write(
            [
                {"PutRequest": {"Item": item_of(each, listed=self.always_listed or each.dimension == listed)}}
                for each in vectors
            ]
        )

    def _listed_dimension(self) -> int | None:
        """Return the dimension of the table's vector index, None without one.

        Whoever writes to a table that has an index writes for the index, too: a search would not find the vector, and
        nobody would know. So a writer looks again now and then whether the table has one by now.
        """
        with self.looking:
            if time.monotonic() > self.looked + LOOK_AGAIN_SECONDS:
                self.described, self.looked = self.describe_table(), time.monotonic()
        found = VectorIndex.of(self.described)
        return None if found is None else found.dimension

    def delete(self, image_ids: Sequence[str]) -> None:
        for part in grouped(image_ids, WRITE_LIMIT):
            self._batch_write([{"DeleteRequest": {"Key": {KEY: {"S": each}}}} for each in part])

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        for item in self._batch_get(image_ids, {"ConsistentRead": True, **_only(ATTRIBUTES)}):
            yield StoredVector(**self._fields(item, ATTRIBUTES))

    def blocks(self, prefix: str = "", *, metadata: bool = False) -> Iterator[Block]:
        wanted = BLOCK_ATTRIBUTES + METADATA_ATTRIBUTES * metadata
        options = _only(wanted)
        if prefix:
            options["FilterExpression"] = f"begins_with(#{KEY}, :prefix)"
            options["ExpressionAttributeValues"] = {":prefix": {"S": prefix}}
        for page in self.pages(options):
            yield Block.of(list(self._fields(item, wanted).values()) for item in page["Items"])

    def without(self, attribute: str) -> Iterator[StoredVector]:
        """Yield the vectors whose items lack an attribute."""
        options = _only(ATTRIBUTES)
        options["ExpressionAttributeNames"]["#lacking"] = attribute
        for page in self.pages({**options, "FilterExpression": "attribute_not_exists(#lacking)"}):
            for item in page["Items"]:
                yield StoredVector(**self._fields(item, ATTRIBUTES))

    def describe(self) -> Iterator[VectorInfo]:
        for page in self.pages(INFO_ONLY):
            yield from map(self._info, page["Items"])

    def close(self) -> None:
        self.client.close()

    def _batch_write(self, requests: list[Any]) -> None:
        """Send requests until all are processed, at most `WRITE_LIMIT` of them."""
        waiting = requests

        def send() -> None:
            nonlocal waiting
            answer = self.client.batch_write_item(RequestItems={self.table: waiting})
            waiting = answer.get("UnprocessedItems", {}).get(self.table, [])
            if waiting:
                raise UnprocessedError(f"the table {self.table} is throttled: {len(waiting)} items were not taken")

        self.call(send)

    def _batch_get(self, image_ids: Sequence[str], options: dict[str, Any]) -> Iterator[Item]:
        unique = list(dict.fromkeys(image_ids))
        groups = list(grouped(unique, READ_LIMIT))
        if len(groups) == 1:
            yield from self._get_group(groups[0], options)
            return
        answers = parallel_map(
            lambda group: self._get_group(group, options),
            groups,
            workers=SEGMENTS,
            depth=lambda: 2 * SEGMENTS,
            name="get",
        )
        for items in answers:
            yield from items

    def _get_group(self, image_ids: Sequence[str], options: dict[str, Any]) -> list[Item]:
        request: dict[str, Any] = {self.table: {"Keys": [{KEY: {"S": each}} for each in image_ids], **options}}
        items: list[Item] = []

        def ask() -> None:
            nonlocal request
            answer = self.client.batch_get_item(RequestItems=request)
            items.extend(answer["Responses"].get(self.table, []))
            request = dict(answer.get("UnprocessedKeys", {}))
            if request:
                raise UnprocessedError(f"the table {self.table} is throttled: some keys were not read")

        self.call(ask)
        return items

    def pages(self, options: dict[str, Any]) -> Iterator[Any]:
        """Read the whole table in parallel segments, a page of each in turn; pages without items are left out."""
        with thread_pool(SEGMENTS, "scan") as executor:
            pages: deque[tuple[int, Future[Any]]] = deque()

            def ask(segment: int, **start: Any) -> None:
                request = {"Segment": segment, "TotalSegments": SEGMENTS, **options, **start}
                pages.append((segment, executor.submit(self._scan_page, request)))

            for segment in range(SEGMENTS):
                ask(segment)
            while pages:
                segment, future = pages.popleft()
                page = future.result()
                if last := page.get("LastEvaluatedKey"):
                    ask(segment, ExclusiveStartKey=last)
                if page["Count"]:
                    yield page

    def _scan_page(self, options: dict[str, Any]) -> Any:
        return self.call(lambda: self.client.scan(TableName=self.table, **options))

    def call(self, function: Callable[[], T]) -> T:
        """Call DynamoDB until it answers.

        Raises:
            ConfigurationError: it refuses; the error's cause says why.
            RejectedError: it refuses what it was given.
            TransientError: it does not answer.
        """
        with aws.sentences(f"the table {self.table}"):
            try:
                return self.patience.call(function)
            except ClientError as error:
                if aws.error_code(error) == "ValidationException":
                    raise RejectedError(str(error)) from error
                raise

    def _info(self, item: Item) -> VectorInfo:
        return VectorInfo(**self._fields(item, INFO_ATTRIBUTES))

    def _fields(self, item: Item, attributes: Iterable[Attribute]) -> dict[str, Any]:
        """Return an item's values by the names of our fields.

        Raises:
            ConfigurationError: something else has written the item, without what every vector has.
        """
        found = {}
        for each in attributes:
            value = item.get(each.name, {}).get(TYPES[each.kind])
            if value is not None:
                found[each.field] = each.kind(value)
            elif each.optional or each.absent is not None:
                found[each.field] = each.absent
            else:
                raise ConfigurationError(
                    f"the item {item[KEY]['S']!r} of the table {self.table} has no {each.name} of type "
                    f"{TYPES[each.kind]}: something else has written it; delete it, or name another table"
                )
        return found


def item_of(vector: StoredVector, *, listed: bool) -> Item:
    """Return a vector as an item; what it has not, its item has not.

    Args:
        listed: whether the vector is also written as the list of numbers that a vector index reads.
    """
    values = ((each, getattr(vector, each.field)) for each in ATTRIBUTES)
    item = {each.name: {TYPES[each.kind]: _written(each, value)} for each, value in values if value is not None}
    if listed:
        item[vector_index.ATTRIBUTE] = {"L": vector_index.listed(vector_index.decoded(vector))}
    return item


def _written(attribute: Attribute, value: Any) -> Any:
    """Return a value as DynamoDB takes it: numbers as text."""
    return str(value) if TYPES[attribute.kind] == "N" else value
