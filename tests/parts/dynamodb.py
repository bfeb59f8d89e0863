"""DynamoDB Local, AWS's own engine: it refuses 26 items in a call, duplicate keys, and items over 400 KB."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from tests.parts import server
from tests.parts.aws import Credentials
from tests.parts.missing import missing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

HOME = Path(__file__).parents[2] / ".venv" / "parts" / "dynamodb-local"


@dataclass(frozen=True, kw_only=True, slots=True)
class DynamoDB:
    """A database of its own on the one server: each access key has one, and nobody else knows this key."""

    endpoint: str
    credentials: Credentials = field(default_factory=Credentials)

    def client(self) -> DynamoDBClient:
        return boto3.client("dynamodb", endpoint_url=self.endpoint, **self.credentials.client_options())

    def environment(self) -> dict[str, str]:
        return self.credentials.environment() | {"AWS_ENDPOINT_URL_DYNAMODB": self.endpoint}

    def create_table(self, name: str = "vectors") -> str:
        """Make the table as the project's infrastructure makes it, and return its name."""
        self.client().create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "ImageId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "ImageId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return name

    def items(self, table: str = "vectors") -> dict[str, dict[str, Any]]:
        """Everything in the table as the service sends it, by `ImageId`."""
        pages = self.client().get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        return {item["ImageId"]["S"]: dict(item) for page in pages for item in page["Items"]}


def command(home: Path, port: int) -> Sequence[str | Path]:
    """Tuned for a short life on a small machine: it is ready in about 3 seconds."""
    return [
        *("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx512m"),
        *(f"-Djava.library.path={home / 'DynamoDBLocal_lib'}", "-jar", home / "DynamoDBLocal.jar"),
        *("-inMemory", "-disableTelemetry", "-port", str(port)),
    ]


def endpoint(shared: Path, lifeline: Path) -> str:
    """The address of the one server of this test run, started by whoever asks first.

    `shared` is a folder that all workers of the test run know, and `lifeline` a FIFO whose writing end is
    held by the process that outlives them: the server goes with that one, not with the worker that asked.
    """
    home = Path(os.environ.get("DYNAMODB_LOCAL_HOME", HOME))
    if not (home / "DynamoDBLocal.jar").exists() or shutil.which("java") is None:
        missing("DynamoDB Local or Java is not installed: run `scripts/setup --parts`")
    record = shared / "dynamodb.port"
    with server.locked(shared / "dynamodb.lock"):
        if not record.exists() or not server.accepts(int(record.read_text())):
            record.write_text(str(_start(home, shared / "dynamodb.log", lifeline)))
        return f"http://127.0.0.1:{record.read_text()}"


def _start(home: Path, log: Path, lifeline: Path, attempts: int = 3) -> int:
    port = server.free_port()
    with lifeline.open("rb") as reading:
        process = server.start(command(home, port), log, reading)
    try:
        server.wait_until_ready("DynamoDB Local", lambda: server.accepts(port), lambda: process.poll() is None, log)
    except server.ServerError:
        if attempts == 1 or process.poll() is None:
            raise
        return _start(home, log, lifeline, attempts - 1)  # someone may have taken the port in the meantime
    return port
