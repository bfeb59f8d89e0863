"""Vectors stored with a scale, in one byte a number, are float32 to everybody who reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import embedder
from embedder.errors import ConfigurationError
from embedder.exports import Wanted, open_target
from embedder.records import StoredVector
from embedder.vectors import duplicates, search
from tests.embedder.stored import fill, opened, stored

DIMENSION = 16
COUNT = 230
BYTES = np.random.default_rng(5).integers(-128, 128, (COUNT, DIMENSION))
SCALES = np.random.default_rng(6).uniform(1e-6, 3, COUNT)
IDS = [f"{number:03d}" for number in range(COUNT)]


def rows(data_type: str) -> list[StoredVector]:
    """Stored vectors; every tenth is a copy of number 0, at its own scale."""
    low = 0 if data_type == "int8" else 128
    found = []
    for number, image_id in enumerate(IDS):
        numbers = BYTES[0 if number % 10 == 0 else number] + low
        scale = 0.0 if number == 7 else float(SCALES[number])
        found.append(
            stored(
                image_id,
                number,
                vector=numbers.astype(data_type).tobytes(),
                data_type=data_type,
                dimension=DIMENSION,
                scale=scale,
                fingerprint=f"resnet18/random/pre1/{data_type}",
            )
        )
    return found


def expected(vectors: list[StoredVector]) -> np.ndarray:
    """The same as float32, one by one."""
    numbers = [np.frombuffer(each.vector, each.data_type).astype(np.float32) for each in vectors]
    return np.stack([row * np.float32(each.scale) for row, each in zip(numbers, vectors, strict=True)])


@pytest.mark.parametrize("data_type", ["uint8", "int8"])
def test_all_who_read_get_float32(data_type: str, store_name: str, tmp_path: Path) -> None:
    vectors = rows(data_type)
    fill(store_name, vectors[::-1])
    wanted = expected(vectors)
    assert wanted.dtype == np.float32
    assert not wanted[7].any()

    ids, found = embedder.read(store_name)
    assert (ids, found.dtype.name) == (IDS, "float32")
    assert np.array_equal(found, wanted)
    some = ["042", "nowhere", "007", "042"]
    assert np.array_equal(embedder.read(store_name, some)[1], wanted[[42, 7, 42]])

    batches = list(embedder.read_batches(store_name, size=100))
    assert [(vectors.shape, vectors.dtype.name) for _, vectors in batches] == [
        ((size, DIMENSION), "float32") for size in (100, 100, 30)
    ]
    assert all(np.array_equal(vectors, wanted[[int(each) for each in ids]]) for ids, vectors in batches)

    for suffix in ("npz", "npy", "parquet"):
        path = tmp_path / f"v.{suffix}"
        assert open_target(str(path))(Wanted(store=store_name)).found == IDS
        assert np.array_equal(_content(path), wanted)

    with opened(store_name) as store:
        nearest = search.nearest(store, wanted[3], 5)
        count, groups = duplicates.find_duplicates(store, 0.9999)
    cosines = wanted[3] @ wanted.T / np.maximum(np.linalg.norm(wanted, axis=1), 1e-30) / np.linalg.norm(wanted[3])
    assert [each.image_id for each in nearest] == [IDS[place] for place in np.argsort(-cosines, kind="stable")[:5]]
    assert [each.score for each in nearest] == pytest.approx(np.sort(cosines)[::-1][:5], abs=1e-6)
    assert count == COUNT
    assert [{each.image_id for each in one.members} for one in groups] == [set(IDS[::10])]


def _content(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        found: np.ndarray = np.load(path)
    elif path.suffix == ".npz":
        found = np.load(path)["vectors"]
    else:
        import pyarrow
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path)
        assert table.schema.field("Vector").type == pyarrow.list_(pyarrow.float32(), DIMENSION)
        found = np.array(table["Vector"].to_pylist(), np.float32)
    assert found.dtype == np.float32
    return found


@pytest.mark.parametrize(
    "changes",
    [{"scale": None}, {"scale": float("inf")}, {"scale": 1e300}, {"data_type": "nonsense"}, {"data_type": "object"}],
    ids=str,
)
def test_what_something_else_has_written_is_refused(changes: dict[str, object], tmp_path: Path) -> None:
    store = str(tmp_path / "vectors.db")
    first, second = rows("uint8")[1:3]
    fill(store, [first, replace(second, **changes)])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="something else has written to it"):
        embedder.read(store)
