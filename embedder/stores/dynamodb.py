"""The store in the cloud: a DynamoDB table with one item for each vector."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

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
from embedder.stores import DYNAMODB_SCHEME
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

INFO_ONLY = {
    # Some of the names are reserved words in expressions, so every one is given by an alias.
    "ProjectionExpression": ", ".join(f"#{each.name}" for each in INFO_ATTRIBUTES),
    "ExpressionAttributeNames": {f"#{each.name}": each.name for each in INFO_ATTRIBUTES},
}
"""Options of a read that leaves the vectors out."""

Item = dict[str, Any]


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
        self._check(self._table(aws.Patience(stopping, aws.START_PATIENCE_SECONDS)))

    def _table(self, patience: aws.Patience) -> TableDescriptionTypeDef:
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

    def prepare(self) -> None:
        """Do nothing: opening has looked at the table, and more cannot be found out for free."""

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        found = map(self._info, self._batch_get(image_ids, INFO_ONLY))
        return {each.image_id: each for each in found}

    def sample(self) -> VectorInfo | None:
        items = self._scan_page({"Limit": 1})["Items"]
        return self._info(items[0]) if items else None

    def write(self, vectors: Sequence[StoredVector]) -> None:
        self._batch_write([{"PutRequest": {"Item": _item(vector)}} for vector in vectors])

    def delete(self, image_ids: Sequence[str]) -> None:
        for part in grouped(image_ids, WRITE_LIMIT):
            self._batch_write([{"DeleteRequest": {"Key": {KEY: {"S": each}}}} for each in part])

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        for item in self._batch_get(image_ids, {"ConsistentRead": True}):
            yield StoredVector(**self._fields(item, ATTRIBUTES))

    def blocks(self, prefix: str = "", *, metadata: bool = False) -> Iterator[Block]:
        wanted = BLOCK_ATTRIBUTES + METADATA_ATTRIBUTES * metadata
        options: dict[str, Any] = {}
        if prefix:
            options = {
                "FilterExpression": "begins_with(#id, :prefix)",
                "ExpressionAttributeNames": {"#id": KEY},
                "ExpressionAttributeValues": {":prefix": {"S": prefix}},
            }
        for items in self._scan(options):
            yield Block.of(list(self._fields(item, wanted).values()) for item in items)

    def describe(self) -> Iterator[VectorInfo]:
        for items in self._scan(INFO_ONLY):
            yield from map(self._info, items)

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

        self._call(send)

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

        self._call(ask)
        return items

    def _scan(self, options: dict[str, Any]) -> Iterator[list[Item]]:
        """Read the whole table in parallel segments, a page of each in turn."""
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
                if page["Items"]:
                    yield page["Items"]

    def _scan_page(self, options: dict[str, Any]) -> Any:
        return self._call(lambda: self.client.scan(TableName=self.table, **options))

    def _call(self, function: Any) -> Any:
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


def _item(vector: StoredVector) -> Item:
    """Return a vector as an item; what it has not, its item has not."""
    values = ((each, getattr(vector, each.field)) for each in ATTRIBUTES)
    return {each.name: {TYPES[each.kind]: _written(each, value)} for each, value in values if value is not None}


def _written(attribute: Attribute, value: Any) -> Any:
    """Return a value as DynamoDB takes it: numbers as text."""
    return str(value) if TYPES[attribute.kind] == "N" else value
