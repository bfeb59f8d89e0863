"""Vectors in an S3 Vectors index, of moto's. It has the service's form; its limits are held here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest

from embedder.system import aws
from tests.embedder.commands import command
from tests.embedder.conftest import UseEnvironment
from tests.embedder.stored import fill, many, stored
from tests.parts.aws import Credentials

INDEX = "s3vectors://embedder-vectors/photos"


@pytest.fixture
def client(moto_endpoint: str, credentials: Credentials, use_environment: UseEnvironment) -> Iterator[Any]:
    """A client of a service with the index, cosine and 512 numbers, empty."""
    use_environment(credentials.environment() | {"AWS_ENDPOINT_URL_S3VECTORS": moto_endpoint})
    client: Any = boto3.client("s3vectors")
    client.create_vector_bucket(vectorBucketName="embedder-vectors")
    make_index(client)
    yield client
    for index in client.list_indexes(vectorBucketName="embedder-vectors")["indexes"]:
        client.delete_index(vectorBucketName="embedder-vectors", indexName=index["indexName"])
    client.delete_vector_bucket(vectorBucketName="embedder-vectors")


def make_index(client: Any, name: str = "photos", dimension: int = 512, metric: str = "cosine") -> None:
    client.create_index(
        vectorBucketName="embedder-vectors",
        indexName=name,
        dataType="float32",
        dimension=dimension,
        distanceMetric=metric,
    )


@pytest.fixture
def calls(client: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[int]]:
    """How many vectors and keys each call of ours carries."""
    seen: dict[str, list[int]] = {"put": [], "get": []}
    events = client.meta.events
    events.register(
        "provide-client-params.s3vectors.PutVectors", lambda params, **_: seen["put"].append(len(params["vectors"]))
    )
    events.register(
        "provide-client-params.s3vectors.GetVectors", lambda params, **_: seen["get"].append(len(params["keys"]))
    )
    monkeypatch.setattr(aws, "s3vectors_client", lambda: client)
    return seen


def contents(client: Any, name: str = "photos") -> dict[str, Any]:
    found = client.list_vectors(
        vectorBucketName="embedder-vectors", indexName=name, returnData=True, returnMetadata=True
    )
    return {each["key"]: each for each in found["vectors"]}


def test_everything_goes_in_by_five_hundred_and_a_second_time_nothing(
    client: Any, calls: dict[str, list[int]], tmp_path: Path
) -> None:
    store = str(tmp_path / "vectors.db")
    vectors = many(1203)
    fill(store, vectors)
    first = command("read", store, "--out", INDEX)
    assert (first.returncode, first.stderr) == (0, f"1,203 vectors put, 0 there already, in {INDEX}\n")
    assert calls["put"] == [500, 500, 203]
    assert max(calls["get"]) == 100
    found = contents(client)
    assert len(found) == 1203
    for each in vectors[::100]:
        there = found[each.image_id]
        assert np.array_equal(np.array(there["data"]["float32"], "<f4"), np.frombuffer(each.vector, "<f4"))
        assert there["metadata"] == {
            **{"Source": each.source, "ETag": each.etag, "Fingerprint": each.fingerprint, "Created": each.created}
        }
    again = command("read", store, "--out", INDEX)
    assert "0 vectors put, 1,203 there already" in again.stderr
    assert len(calls["put"]) == 3


def test_a_vector_of_bytes_goes_in_as_float32(client: Any, tmp_path: Path) -> None:
    store, numbers = str(tmp_path / "vectors.db"), np.arange(512) % 256
    fill(store, [stored("a", vector=numbers.astype(np.uint8).tobytes(), data_type="uint8", scale=0.5)])
    assert command("read", store, "--out", INDEX).returncode == 0
    assert contents(client)["a"]["data"]["float32"] == (numbers * 0.5).tolist()


def test_what_was_left_or_has_changed_is_put(client: Any, calls: dict[str, list[int]], tmp_path: Path) -> None:
    store = str(tmp_path / "vectors.db")
    fill(store, many(10))
    assert command("read", store, "image-00001", "image-00002", "--out", INDEX).returncode == 0
    assert set(contents(client)) == {"image-00001", "image-00002"}
    fill(store, [stored("image-00002", 77, created="2026-11-06T10:00:00+00:00")])
    assert "9 vectors put, 1 there already" in command("read", store, "--out", INDEX).stderr
    assert calls["put"] == [2, 9]
    changed = contents(client)["image-00002"]["data"]["float32"]
    assert np.array_equal(np.array(changed, "<f4"), np.frombuffer(stored("x", 77).vector, "<f4"))


@pytest.mark.usefixtures("calls")
def test_ids_that_are_missing_or_too_long_are_named(client: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "vectors.db")
    fill(store, [stored("a", 1), stored("b" * 1025, 2)])
    done = command("read", store, "--out", INDEX)
    assert done.returncode == 1
    assert "b' is too long for a key, which has at most 1024" in done.stderr
    assert set(contents(client)) == {"a"}
    done = command("read", store, "a", "nowhere", "--out", INDEX)
    assert done.returncode == 1
    assert "'nowhere' is not in" in done.stderr


@pytest.mark.usefixtures("client")
def test_half_precision_is_put_as_float32(client: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "vectors.db")
    half = np.linspace(-1, 1, 512).astype("<f2")
    fill(store, [stored("a", vector=half.tobytes(), data_type="float16")])
    assert command("read", store, "--out", INDEX).returncode == 0
    assert np.array_equal(np.array(contents(client)["a"]["data"]["float32"], "<f4"), half.astype("<f4"))


def test_what_does_not_fit_is_refused_in_a_sentence(client: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "vectors.db")
    fill(store, [stored("a", 1)])
    make_index(client, "small", dimension=3)
    make_index(client, "straight", metric="euclidean")
    for out, said in (
        ("s3vectors://embedder-vectors/small", "is for vectors of dimension 3, these have 512"),
        ("s3vectors://embedder-vectors/straight", "compares by euclidean distance"),
        ("s3vectors://embedder-vectors/none", "there is no index s3vectors://embedder-vectors/none; make it with: aws"),
        ("s3vectors://embedder-vectors", "expected s3vectors://BUCKET/INDEX"),
    ):
        refused = command("read", store, "--out", out)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert said in refused.stderr
    fill(store, [stored("b", 1, fingerprint="another/model")])
    refused = command("read", store, "--out", INDEX)
    assert refused.returncode == 2
    assert (
        "cannot be compared: resnet18/random/pre1/float32, another/model; choose with --fingerprint" in refused.stderr
    )
    assert command("read", store, "--fingerprint", "another/model", "--out", INDEX).returncode == 0
    assert set(contents(client)) == {"b"}


def test_normalised_vectors_may_be_compared_by_distance(client: Any, tmp_path: Path) -> None:
    store = str(tmp_path / "vectors.db")
    fill(store, [stored("a", 1, fingerprint="resnet18/random/pre1/float32/normalized")])
    make_index(client, "straight", metric="euclidean")
    assert command("read", store, "--out", "s3vectors://embedder-vectors/straight").returncode == 0
    assert set(contents(client, "straight")) == {"a"}


def test_a_request_of_large_vectors_stays_within_its_bytes(
    client: Any, calls: dict[str, list[int]], tmp_path: Path
) -> None:
    store = str(tmp_path / "vectors.db")
    wide = np.random.default_rng(0).normal(size=4000).astype("<f4")
    fill(store, [stored(f"{number:03d}", vector=wide.tobytes(), dimension=4000) for number in range(180)])
    make_index(client, "wide", dimension=4000)
    assert command("read", store, "--out", "s3vectors://embedder-vectors/wide").returncode == 0
    assert calls["put"] == [174, 6]
    assert len(str(wide.tolist())) * 174 < 20 << 20
