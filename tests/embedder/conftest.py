"""Fixtures for the worker's tests: which AWS this process sees, the stores, and a model that costs nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from embedder.system import aws
from tests.embedder.disks import Disk, make_disk
from tests.embedder.stand_in import PixelEncoder, only_engine
from tests.parts.dynamodb import DynamoDB
from tests.parts.s3 import S3

UseEnvironment = Callable[[Mapping[str, str]], None]


@pytest.fixture(autouse=True, scope="session")
def prepared_models(shared: Path) -> Iterator[None]:
    """Prepare models in a cache of this test run's own, once for all workers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        yield


@pytest.fixture
def use_environment(monkeypatch: pytest.MonkeyPatch) -> UseEnvironment:
    """Give this process variables, as a subprocess would have them from its start."""

    def use(variables: Mapping[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return use


@pytest.fixture
def bucket(s3: S3, use_environment: UseEnvironment) -> S3:
    """A new bucket that this process may use, in each S3 server in turn."""
    use_environment(s3.environment())
    return s3


@pytest.fixture
def moto_bucket(s3_moto: S3, use_environment: UseEnvironment) -> S3:
    """A new bucket that this process may use, for tests that are about us and not about S3."""
    use_environment(s3_moto.environment())
    return s3_moto


@pytest.fixture
def table(dynamodb: DynamoDB, use_environment: UseEnvironment) -> DynamoDB:
    """A database of this test's own that this process may use; its table is `dynamodb://vectors`."""
    use_environment(dynamodb.environment())
    dynamodb.create_table()
    return dynamodb


@pytest.fixture(params=["sqlite", "dynamodb"])
def store_name(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of an empty store, of each kind in turn."""
    if request.param == "sqlite":
        return str(tmp_path / "vectors.db")
    request.getfixturevalue("table")
    return "dynamodb://vectors"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A disk whose power can be cut, where this process may mount one."""
    with make_disk(tmp_path) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on AWS after a second instead of a minute and a half."""

    class Impatience(aws.Patience):
        def __init__(self, stopping: Any, seconds: float = 1.0) -> None:
            super().__init__(stopping, min(seconds, 1.0))

    monkeypatch.setattr(aws, "Patience", Impatience)


@pytest.fixture
def encoder() -> Iterator[PixelEncoder]:
    """Stand in for the model in runs of this process."""
    stand_in = PixelEncoder()
    with only_engine(stand_in.open):
        yield stand_in
