"""Where the pictures and the vectors of a history are: a folder and a file, or a bucket and a table."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from submitter.config import VARIABLES
from tests.parts.s3 import S3


class World(Protocol):
    """Where the pictures and the vectors are."""

    @property
    def place(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def store(self) -> str: ...
    def id_of(self, name: str) -> str: ...
    def uri_of(self, image_id: str) -> str: ...
    def put(self, image_id: str, data: bytes) -> None: ...
    def delete(self, image_id: str) -> None: ...
    def move(self) -> None: ...
    def close(self) -> None: ...


@dataclass(slots=True)
class FolderWorld:
    """A folder and a SQLite file."""

    root: Path
    moves: int = 0

    @property
    def place(self) -> str:
        return f"pictures-{self.moves}"

    @property
    def source(self) -> str:
        return str(self.root / self.place)

    @property
    def store(self) -> str:
        return str(self.root / "vectors.db")

    def id_of(self, name: str) -> str:
        return name

    def uri_of(self, image_id: str) -> str:
        return (self.root / self.place / image_id).as_uri()

    def put(self, image_id: str, data: bytes) -> None:
        path = self.root / self.place / image_id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def delete(self, image_id: str) -> None:
        (self.root / self.place / image_id).unlink()

    def move(self) -> None:
        before = self.root / self.place
        self.moves += 1
        if before.exists():
            before.rename(self.root / self.place)

    def close(self) -> None:
        shutil.rmtree(self.root)


@dataclass(slots=True)
class BucketWorld:
    """A bucket and a DynamoDB table, both behind a network that can break."""

    s3: S3
    table: str
    patch: pytest.MonkeyPatch
    bucket: str = field(default_factory=lambda: f"photos-{uuid.uuid4().hex[:12]}")

    def __post_init__(self) -> None:
        self._make_bucket()

    def _make_bucket(self) -> None:
        self.s3.client().create_bucket(Bucket=self.bucket)
        self.patch.setenv(VARIABLES["bucket"], self.bucket)

    @property
    def place(self) -> str:
        return self.bucket

    @property
    def source(self) -> str:
        return f"s3://{self.bucket}/i/"

    @property
    def store(self) -> str:
        return f"dynamodb://{self.table}"

    def id_of(self, name: str) -> str:
        return f"i/{name}"

    def uri_of(self, image_id: str) -> str:
        return f"s3://{self.bucket}/{image_id}"

    def put(self, image_id: str, data: bytes) -> None:
        self.s3.client().put_object(Bucket=self.bucket, Key=image_id, Body=data)

    def delete(self, image_id: str) -> None:
        self.s3.client().delete_object(Bucket=self.bucket, Key=image_id)

    def move(self) -> None:
        """Copy the pictures to another bucket, and empty this one."""
        client, before = self.s3.client(), self.bucket
        self.bucket = f"photos-{uuid.uuid4().hex[:12]}"
        self._make_bucket()
        for each in client.list_objects_v2(Bucket=before, Prefix="i/").get("Contents", []):
            client.copy_object(Bucket=self.bucket, Key=each["Key"], CopySource={"Bucket": before, "Key": each["Key"]})
            client.delete_object(Bucket=before, Key=each["Key"])

    def close(self) -> None: ...
