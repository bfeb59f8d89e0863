"""A source, a store and a worker between them that is started again and again."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.cli import ROOT, Cli, Result, ended
from tests.embedder.pictures import jpeg
from tests.parts.dynamodb import DynamoDB
from tests.parts.s3 import S3

BATCH = 4
"""Pictures in a batch of the worker's."""


@dataclass(kw_only=True, slots=True)
class World:
    """What a worker is started with, and what it leaves behind."""

    folder: Path
    source: str
    store: str
    env: dict[str, str] = field(default_factory=dict)
    table: DynamoDB | None = None

    def __post_init__(self) -> None:
        self.env["WORKER_LOG"] = str(self.log)

    def environment(self) -> dict[str, str]:
        """All variables of a worker."""
        return {**os.environ, "PYTHONPATH": str(ROOT), **self.env}

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    def start(
        self,
        *options: str,
        store: str = "",
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start the worker; what it prints is at most a report, which a pipe holds."""
        return Cli(folder=self.folder).start(
            *("run", self.source, "--store", store or self.store, "--weights", "random", "--json", *options),
            program="tests.reliability.worker",
            env={**self.env, **(env or {})},
        )

    def run(self, *options: str, store: str = "", env: Mapping[str, str] | None = None) -> Result:
        """Run the worker to its end."""
        return ended(self.start(*options, store=store, env=env))

    def encoded(self) -> int:
        """How many pictures all workers together have encoded."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return sum(int(line.split()[1]) for line in lines if line.startswith("encode"))

    def wait_until(self, reached: Callable[[], bool], process: subprocess.Popen[str]) -> None:
        """Wait for something that a worker brings about; return as well when it has ended."""
        deadline = time.monotonic() + 90
        while not reached() and process.poll() is None:
            assert time.monotonic() < deadline, "the worker never came so far"
            time.sleep(0.005)

    def vectors(self, store: str = "") -> dict[str, bytes]:
        """Every stored vector by its image's id, read without any of our code."""
        chosen = store or self.store
        if not chosen.startswith("dynamodb://"):
            return vectors_of_file(self.folder / chosen)
        assert self.table is not None
        items = self.table.items(chosen.removeprefix("dynamodb://"))
        return {image_id: item["Vector"]["B"] for image_id, item in items.items()}


def vectors_of_file(path: Path) -> dict[str, bytes]:
    """The vectors of a SQLite file, which has to be sound. A copy is looked at: looking would mend the file."""
    if not path.exists():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for each in (path, Path(f"{path}-wal")):
            if each.exists():
                shutil.copy(each, folder)
        connection = sqlite3.connect(Path(folder) / path.name)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return {}
            return dict(connection.execute("SELECT ImageId, Vector FROM vectors"))
        finally:
            connection.close()


def balanced(report: Mapping[str, Any]) -> bool:
    """Whether the books do."""
    return bool(report["images"] == report["embedded"] + report["skipped"] + report["failed"])


def images(count: int) -> dict[str, bytes]:
    """Small pictures, each another, by name."""
    return {name(number): jpeg(number, (64, 48)) for number in range(count)}


def name(number: int) -> str:
    """A hundred to a folder."""
    return f"{number // 100:03d}/{number:05d}.jpg"


def folder_world(folder: Path, count: int) -> World:
    """From a folder to a SQLite file."""
    source = folder / "images"
    source.mkdir()
    for path, data in images(count).items():
        (source / path).parent.mkdir(exist_ok=True)
        (source / path).write_bytes(data)
    return World(folder=folder, source="images", store="vectors.db")


def cloud_world(folder: Path, s3: S3, table: DynamoDB, pictures: Mapping[str, bytes], /, **endpoints: str) -> World:
    """From S3 to DynamoDB; `s3=` and `dynamodb=` are endpoints to use instead of the servers' own."""
    client = s3.client()
    with ThreadPoolExecutor(8) as executor:
        list(
            executor.map(
                lambda each: client.put_object(Bucket=s3.bucket, Key=f"i/{each[0]}", Body=each[1]), pictures.items()
            )
        )
    table.create_table()
    env = s3.environment() | table.environment()
    env |= {f"AWS_ENDPOINT_URL_{service.upper()}": endpoint for service, endpoint in endpoints.items()}
    return World(folder=folder, source=s3.uri("i/"), store="dynamodb://vectors", env=env, table=table)


def pause(chance: random.Random, most: float) -> None:
    """Wait for a random time."""
    time.sleep(chance.uniform(0, most))
