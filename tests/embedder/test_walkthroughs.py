"""docs/python.md and docs/recipes.md, executed as they stand, block after block."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pyarrow.parquet
import pytest

from embedder import embed, read
from tests.embedder.commands import command
from tests.embedder.conftest import UseEnvironment
from tests.parts.aws import Credentials
from tests.parts.companions import needs_companion, run_with_companions
from tests.photographs import write_photos

DOCS = Path(__file__).parents[2] / "docs"


APART = {"Ray Data": "ray", "Daft": "daft", "Spark": "pyspark"}
"""The recipes that run in a program of their own, and the library that each needs."""


def sections(document: str) -> dict[str, str]:
    """The text of a document below each second-level heading; what is above the first has the heading ""."""
    text = (DOCS / document).read_text(encoding="utf-8")
    first, *others = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return {"": first, **dict(zip(others[::2], others[1::2], strict=True))}


def blocks(document: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a document, (language, text), in order."""
    text = "".join(text for title, text in sections(document).items() if title not in APART)
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


@pytest.mark.slow
@pytest.mark.parametrize("title", APART)
def test_a_recipe_for_a_program_that_calls_embedder(title: str, tmp_path: Path) -> None:
    """The vectors are those of a run, and a file that is no image has a row and a reason."""
    needs_companion(APART[title])
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"not an image")
    embed("photos", "vectors.db", weights="random", progress=False)
    ids, stored = read("vectors.db")
    (recipe,) = re.findall(r"^```python\n(.*?)^```", sections("recipes.md")[title], flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "recipe.py").write_text(recipe, encoding="utf-8")
    done = run_with_companions("recipe.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = pyarrow.parquet.read_table("found").to_pylist()
    found = {row["path"].partition("photos/")[2]: row for row in rows}
    assert found.pop("broken.jpg")["error"] == "NotAnImage"
    assert sorted(found) == ids
    assert not any(row["error"] for row in found.values())
    vectors = np.array([found[each]["vector"] for each in ids], np.float32)
    assert np.abs(vectors - stored).max() < 1e-3 * np.abs(stored).max(), "MNN's differ from run to run, see the docs"
