"""The store in the cloud: one DynamoDB item a vector."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from embedder.errors import ConfigurationError, RejectedError, TransientError
from embedder.records import Block, StoredVector, VectorInfo
from embedder.stores import DYNAMODB_SCHEME
from embedder.system import aws
from embedder.system.threads import parallel_map

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TableDescriptionTypeDef

KEY = "ImageId"
WRITE_LIMIT = 25
"""Items in a BatchWriteItem."""
READ_LIMIT = 100
"""Keys in a BatchGetItem."""
CONNECTIONS = 16
SEGMENTS = 8
"""A scan reads this many parts of the table at once, one page of each in memory."""
INFO_ATTRIBUTES = ("ImageId", "DataType", "Dimension", "Created", "Fingerprint", "ETag", "Source", "Modified")

Item = dict[str, Any]


class UnprocessedError(TransientError):
    """DynamoDB took a part of a batch; the rest is to be sent again."""


class DynamoDBStore:
    """Vectors in a DynamoDB table whose partition key is `ImageId`; see `Store`."""

    group: int | None = WRITE_LIMIT
    writers = 8
    lookup_group = READ_LIMIT
    max_id_bytes = 2048  # of a partition key

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
        # Item names are reserved words in expressions, so every one is given by an alias.
        self.aliases = {f"#{index}": name for index, name in enumerate(INFO_ATTRIBUTES)}
        self.projection = ", ".join(self.aliases)

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
        """The table exists and has been looked at; there is nothing more to find out for free."""

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        options = {"ProjectionExpression": self.projection, "ExpressionAttributeNames": self.aliases}
        return {item[KEY]["S"]: _info(item) for item in self._batch_get(image_ids, options)}

    def sample(self) -> VectorInfo | None:
        items = self._scan_page({"Limit": 1})["Items"]
        return _info(items[0]) if items else None

    def write(self, vectors: Sequence[StoredVector]) -> None:
        self._batch_write([{"PutRequest": {"Item": _item(vector)}} for vector in vectors])

    def delete(self, image_ids: Sequence[str]) -> None:
        for start in range(0, len(image_ids), WRITE_LIMIT):
            part = image_ids[start : start + WRITE_LIMIT]
            self._batch_write([{"DeleteRequest": {"Key": {KEY: {"S": each}}}} for each in part])

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        for item in self._batch_get(image_ids, {"ConsistentRead": True}):
            yield _vector(item)

    def blocks(self, prefix: str = "") -> Iterator[Block]:
        options: dict[str, Any] = {}
        if prefix:
            options = {
                "FilterExpression": "begins_with(#id, :prefix)",
                "ExpressionAttributeNames": {"#id": KEY},
                "ExpressionAttributeValues": {":prefix": {"S": prefix}},
            }
        for items in self._scan(options):
            known = [_attributes(item) for item in items]
            yield Block(
                image_ids=[each["image_id"] for each in known],
                fingerprints=[each["fingerprint"] for each in known],
                data_types=[each["data_type"] for each in known],
                dimensions=[each["dimension"] for each in known],
                vectors=[bytes(item["Vector"]["B"]) for item in items],
            )

    def describe(self) -> Iterator[VectorInfo]:
        options = {"ProjectionExpression": self.projection, "ExpressionAttributeNames": self.aliases}
        for items in self._scan(options):
            yield from map(_info, items)

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
        groups = [unique[start : start + READ_LIMIT] for start in range(0, len(unique), READ_LIMIT)]
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
        with ThreadPoolExecutor(SEGMENTS, thread_name_prefix="scan") as executor:
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


def _item(vector: StoredVector) -> Item:
    item: Item = {
        "ImageId": {"S": vector.image_id},
        "Vector": {"B": vector.vector},
        "DataType": {"S": vector.data_type},
        "Dimension": {"N": str(vector.dimension)},
        "Created": {"S": vector.created},
        "Fingerprint": {"S": vector.fingerprint},
        "ETag": {"S": vector.etag},
        "Source": {"S": vector.source},
    }
    if vector.modified is not None:
        item["Modified"] = {"S": vector.modified}
    return item


def _attributes(item: Item) -> dict[str, Any]:
    """An item's attributes by our names; those that the original sample did not write may be missing."""
    return {
        "image_id": item["ImageId"]["S"],
        "data_type": item.get("DataType", {}).get("S", "float32"),
        "dimension": int(item.get("Dimension", {}).get("N", 0)),
        "created": item.get("Created", {}).get("S", ""),
        "fingerprint": item.get("Fingerprint", {}).get("S", ""),
        "etag": item.get("ETag", {}).get("S", ""),
        "source": item.get("Source", {}).get("S", ""),
        "modified": item.get("Modified", {}).get("S"),
    }


def _info(item: Item) -> VectorInfo:
    return VectorInfo(**_attributes(item))


def _vector(item: Item) -> StoredVector:
    return StoredVector(vector=bytes(item["Vector"]["B"]), **_attributes(item))
