"""DynamoDB's vector indexes, which neither DynamoDB Local nor moto has: a small server in front of DynamoDB Local.

It passes everything on but what concerns vector indexes, which it answers as the API reference and the developer guide
say: `VectorIndexes` of CreateTable and DescribeTable, `VectorIndexUpdates` of UpdateTable, the refusal of lists that no
index takes, and SearchVectors, which is exact here and approximate there. The real service has not been met.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

PREFIX = "DynamoDB_20120810."
MOST_INDEXES = 5
MOST_DIMENSIONS = 4096
MOST_RESULTS = 100

Body = dict[str, Any]
Passed = tuple[int, bytes, list[tuple[str, str]]]
"""An answer's status, body and headers."""


class RefusedError(Exception):
    """What the service answers with status 400."""

    def __init__(self, message: str, code: str = "ValidationException") -> None:
        super().__init__(message)
        self.answer = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}


@dataclass(slots=True)
class Index:
    """A vector index and how far its making has come."""

    definition: Body
    looks: int
    """How many times DescribeTable will still show it CREATING."""
    added: bool
    """Whether it came with UpdateTable, so that it reads the table and says so in `Backfilling`."""
    items: int | None = None
    """The count that DescribeTable tells, which is up to six hours old; None for the present one."""

    def described(self, items: int) -> Body:
        status = {"IndexStatus": "CREATING" if self.looks else "ACTIVE"}
        backfilling = {"Backfilling": self.looks == 1} if self.added and self.looks else {}
        count = items if self.items is None else self.items
        return {**self.definition, **status, **backfilling, "ItemCount": count, "IndexSizeBytes": 0}


@dataclass(slots=True)
class VectorTables:
    """The server's state: the indexes of each table of each database."""

    behind: str
    looks: int = 2
    """How often a new index is described as CREATING."""
    indexes: dict[tuple[str, str], dict[str, Index]] = field(default_factory=dict)
    searches: int = 0
    endpoint: str = ""

    def only(self) -> Index:
        """The one index there is."""
        ((index,),) = (each.values() for each in self.indexes.values() if each)
        return index

    def answer(self, operation: str, body: Body, headers: Mapping[str, str]) -> Body | None:
        """Answer a request, or return None for one that DynamoDB Local answers."""
        database = headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        indexes = self.indexes.setdefault((database, str(body.get("TableName"))), {})

        def local(what: str, content: Body) -> Body:
            return self.local(what, content, headers)

        match operation:
            case "CreateTable" if "VectorIndexes" in body:
                wanted = body.pop("VectorIndexes")
                _check_table(wanted, body, body.get("BillingMode", "PROVISIONED"))
                attributes = [each["AttributeName"] for each in body["KeySchema"]]
                defined = [each for each in body["AttributeDefinitions"] if each["AttributeName"] in attributes]
                local(operation, {**body, "AttributeDefinitions": defined})
                indexes.update({each["IndexName"]: Index(each, self.looks, added=False) for each in wanted})
                return {"TableDescription": self._described(indexes, local, body["TableName"])}
            case "UpdateTable" if "VectorIndexUpdates" in body:
                table = local("DescribeTable", {"TableName": body["TableName"]})["Table"]
                for update in body["VectorIndexUpdates"]:
                    self._update(indexes, update, body, table)
                return {
                    "TableDescription": self._described(indexes, local, body["TableName"]) | {"TableStatus": "UPDATING"}
                }
            case "DescribeTable" if indexes:
                for each in indexes.values():
                    each.looks = max(0, each.looks - 1)
                return {"Table": self._described(indexes, local, body["TableName"])}
            case "SearchVectors":
                self.searches += 1
                return _searched(body, indexes, _items(local, body["TableName"]))
            case "PutItem" | "UpdateItem" | "BatchWriteItem":
                self._check_lists(operation, body, database)
        return None

    def local(self, operation: str, body: Body, headers: Mapping[str, str]) -> Body:
        """Ask DynamoDB Local."""
        status, content, _ = self.passed(operation, json.dumps(body).encode(), headers)
        answer: Body = json.loads(content)
        if status != 200:
            refusal = RefusedError("")
            refusal.answer = answer
            raise refusal
        return answer

    def passed(
        self, operation: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        """Pass a request on, and return the answer's status, body and headers."""
        connection = HTTPConnection(self.behind.removeprefix("http://"))
        wanted = {name: headers[name] for name in ("Authorization", "Content-Type", "X-Amz-Date") if name in headers}
        connection.request("POST", "/", body, {**wanted, "X-Amz-Target": PREFIX + operation})
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, content, response.getheaders()

    def _update(self, indexes: dict[str, Index], update: Body, body: Body, table: Body) -> None:
        if deleted := update.get("Delete"):
            if indexes.pop(deleted["IndexName"], None) is None:
                raise RefusedError(
                    f"Requested resource not found: Index: {deleted['IndexName']}", "ResourceNotFoundException"
                )
            return
        wanted = update["Create"]
        if any(each.looks for each in indexes.values()):
            raise RefusedError("Attempt to change a resource which is still in use", "ResourceInUseException")
        if wanted["IndexName"] in indexes:
            raise RefusedError("Attempting to create an index which already exists")
        mode = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
        _check_table([each.definition for each in indexes.values()] + [wanted], body, body.get("BillingMode", mode))
        indexes[wanted["IndexName"]] = Index(wanted, self.looks, added=True)

    def _described(self, indexes: dict[str, Index], local: Any, name: str) -> Body:
        table: Body = local("DescribeTable", {"TableName": name})["Table"]
        items = _items(local, name)
        found = [
            each.described(sum(1 for item in items if _attribute(each.definition) in item)) for each in indexes.values()
        ]
        return {**table, "VectorIndexes": found} if found else table

    def _check_lists(self, operation: str, body: Body, database: str) -> None:
        """Refuse a list that an index of its table does not take."""
        tables = body["RequestItems"] if operation == "BatchWriteItem" else {body["TableName"]: [{"PutRequest": body}]}
        for name, requests in tables.items():
            for index in self.indexes.get((database, name), {}).values():
                for request in requests:
                    put = request.get("PutRequest", {})
                    values = [put.get("Item", {}).get(_attribute(index.definition))]
                    values += [each for each in put.get("ExpressionAttributeValues", {}).values() if "L" in each]
                    for value in filter(None, values):
                        _check_list(value, index.definition)


def _attribute(definition: Body) -> str:
    name: str = definition["VectorAttribute"]["AttributeName"]
    return name


def _check_table(wanted: list[Body], body: Body, mode: str) -> None:
    """Refuse indexes that a table cannot have."""
    if mode != "PAY_PER_REQUEST":
        raise RefusedError("Vector indexes are only supported on tables with PAY_PER_REQUEST billing mode")
    if len(wanted) > MOST_INDEXES:
        raise RefusedError(f"One or more parameter values were invalid: more than {MOST_INDEXES} vector indexes")
    defined = {each["AttributeName"] for each in body.get("AttributeDefinitions", [])}
    for each in wanted:
        if not re.fullmatch(r"[a-zA-Z0-9_.-]{3,255}", each["IndexName"]):
            raise RefusedError("Value at 'IndexName' failed to satisfy constraint")
        if not 1 <= each["Dimensions"] <= MOST_DIMENSIONS:
            raise RefusedError(f"Dimensions must be between 1 and {MOST_DIMENSIONS} inclusive")
        if each["DistanceFunction"] not in ("COSINE", "EUCLIDEAN", "DOT_PRODUCT"):
            raise RefusedError("Value at 'DistanceFunction' failed to satisfy constraint")
        if not {part["AttributeName"] for part in each.get("SearchSchema", [])} <= defined:
            raise RefusedError("One element in SearchSchema is not defined in attribute definitions")


def _check_list(value: Body, definition: Body) -> None:
    name, size = _attribute(definition), definition["Dimensions"]
    if "L" not in value or any("N" not in each for each in value["L"]):
        raise RefusedError(f"One or more parameter values were invalid: Invalid type for parameter {name}")
    if len(value["L"]) != size:
        raise RefusedError(
            f"One or more parameter values were invalid: Invalid size for parameter {name}, Expected: {size}, "
            f"Actual: {len(value['L'])}. IndexName: {definition['IndexName']}"
        )


def _items(local: Any, table: str) -> list[Body]:
    """Everything in the table."""
    found: list[Body] = []
    start: Body = {}
    while True:
        page = local("Scan", {"TableName": table, "ConsistentRead": True, **start})
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return found
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def _searched(body: Body, indexes: dict[str, Index], items: list[Body]) -> Body:
    """Answer SearchVectors, exactly."""
    name, most, query = body["IndexName"], body["TopK"], body["SearchVector"]
    if not 1 <= most <= MOST_RESULTS:
        raise RefusedError(
            f"Provided TopK value '{most}' is out of valid range. The value must be between 1 and {MOST_RESULTS} "
            "inclusive"
        )
    if name not in indexes:
        raise RefusedError(f"The table does not have the specified index: {name}")
    index = indexes[name]
    if index.looks:
        raise RefusedError(f"Cannot search backfilling vector index: {name}")
    if len(query) != index.definition["Dimensions"]:
        raise RefusedError(
            f"Input search vector dimension {len(query)} does not match vector index dimension "
            f"{index.definition['Dimensions']}"
        )
    demanded = _conditions(body, index.definition)
    attribute = _attribute(index.definition)
    held = [each for each in items if attribute in each and demanded.items() <= each.items()]
    if not held:
        return {"SearchResults": []}
    scores = _cosine_distances(np.stack([_vector(each[attribute]["L"]) for each in held]), _vector(query))
    names = body.get("ExpressionAttributeNames", {})
    shown = [names.get(each.strip(), each.strip()) for each in body.get("ProjectionExpression", "").split(",")]
    assert index.definition["Projection"] == {"ProjectionType": "KEYS_ONLY"}, "other projections are not simulated"
    order = np.argsort(scores, kind="stable")[:most]
    return {
        "SearchResults": [
            {
                "Item": {key: value for key, value in held[place].items() if key == "ImageId" and key in (*shown, "")},
                "Score": float(scores[place]),
            }
            for place in order
        ]
    }


def _conditions(body: Body, definition: Body) -> Body:
    """The attributes that a search demands, from the expression: equalities joined by AND."""
    schema = {each["AttributeName"]: each["SearchSchemaElementType"] for each in definition.get("SearchSchema", [])}
    expression = body.get("SearchConditionExpression")
    found: Body = {}
    for part in re.split(r"\s+AND\s+", expression) if expression else []:
        parts = re.fullmatch(r"(\S+)\s*=\s*(\S+)", part)
        if parts is None:
            raise RefusedError(
                "Invalid SearchConditionExpression: Invalid comparator used in SearchConditionExpression"
            )
        attribute = body.get("ExpressionAttributeNames", {}).get(parts[1], parts[1])
        if attribute not in schema:
            raise RefusedError(f"Invalid SearchConditionExpression: {attribute} is not in SearchSchema")
        found[attribute] = body["ExpressionAttributeValues"][parts[2]]
    if any(kind == "HASH" and attribute not in found for attribute, kind in schema.items()):
        raise RefusedError("SearchConditionExpression must be provided when SearchSchema has a HASH key")
    return found


def _vector(numbers: list[Body]) -> np.ndarray:
    return np.array([each["N"] for each in numbers], np.float32)


def _cosine_distances(rows: np.ndarray, query: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(query)
    distances: np.ndarray = 1 - rows @ query / np.where(lengths > 0, lengths, 1)
    return distances


@contextmanager
def vector_tables(behind: str) -> Iterator[VectorTables]:
    """Serve vector indexes in front of DynamoDB Local while the block lasts."""
    tables = VectorTables(behind)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            operation = self.headers["X-Amz-Target"].removeprefix(PREFIX)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers: list[tuple[str, str]] = []
            try:
                answer = tables.answer(operation, json.loads(body), dict(self.headers.items()))
                status, content = 200, json.dumps(answer).encode()
                if answer is None:
                    status, content, headers = tables.passed(operation, body, dict(self.headers.items()))
            except RefusedError as refusal:
                status, content = 400, json.dumps(refusal.answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers:
                if name.lower() == "x-amz-crc32":
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        tables.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield tables
        finally:
            server.shutdown()
            thread.join()
