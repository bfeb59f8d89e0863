"""docs/python.md and docs/recipes.md, executed as they stand, block after block."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.embedder.commands import command
from tests.embedder.conftest import UseEnvironment
from tests.parts.aws import Credentials
from tests.photographs import write_photos

DOCS = Path(__file__).parents[2] / "docs"


def blocks(document: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a document, (language, text), in order."""
    text = (DOCS / document).read_text(encoding="utf-8")
    yield from re.findall(r"^```(python|sh)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def execute(document: str) -> int:
    """Run a document's blocks in one namespace, and return how many there were."""
    namespace: dict[str, Any] = {"__name__": "walkthrough"}
    count = 0
    for count, (language, text) in enumerate(blocks(document), start=1):
        if language == "python":
            exec(compile(text, f"{document}, block {count}", "exec"), namespace)
            continue
        for line in text.strip().split("\n"):
            program, *words = shlex.split(line)
            assert program == "embedder"
            done = command(*words)
            assert done.returncode == 0, done.stderr
    return count


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with photographs, and none of the seconds that a model costs."""
    write_photos(tmp_path / "photos", 7)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("encoder")
def test_python() -> None:
    assert execute("python.md") >= 9


@pytest.mark.usefixtures("encoder")
def test_recipes(moto_endpoint: str, credentials: Credentials, use_environment: UseEnvironment) -> None:
    use_environment(credentials.environment() | {"AWS_ENDPOINT_URL_S3VECTORS": moto_endpoint})
    client: Any = boto3.client("s3vectors")
    try:
        assert execute("recipes.md") >= 9
        stored = client.list_vectors(vectorBucketName="my-vectors", indexName="photos")["vectors"]
        assert len(stored) == 7
    finally:
        client.delete_index(vectorBucketName="my-vectors", indexName="photos")
        client.delete_vector_bucket(vectorBucketName="my-vectors")
