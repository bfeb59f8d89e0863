"""Files of vectors, opened by the tools that people have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedder.errors import ConfigurationError
from embedder.export import check_target, write_vectors

IDS = ["cats/1.jpg", "line\nbreak 🐈.jpg", 'it\'s "quoted".jpg']
VECTORS = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    write_vectors(tmp_path / "v.parquet", IDS, VECTORS)
    return tmp_path / "v.parquet"


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    write_vectors(path, IDS, VECTORS)
    with np.load(path, allow_pickle=False) as found:
        assert set(found) == {"ids", "vectors"}
        assert found["ids"].tolist() == IDS
        assert np.array_equal(found["vectors"], VECTORS)
        assert found["vectors"].dtype == np.float32


def test_npy(tmp_path: Path) -> None:
    write_vectors(tmp_path / "v.npy", IDS, VECTORS)
    assert np.array_equal(np.load(tmp_path / "v.npy", allow_pickle=False), VECTORS)


def test_parquet_is_a_fixed_size_list(parquet: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(parquet)
    assert table.column_names == ["ImageId", "Vector"]
    assert table.schema.field("Vector").type == pyarrow.list_(pyarrow.float32(), 512)
    assert table["ImageId"].to_pylist() == IDS


def test_pandas_opens_parquet(parquet: Path) -> None:
    import pandas

    found = pandas.read_parquet(parquet)
    assert found["ImageId"].tolist() == IDS
    assert np.array_equal(np.stack(found["Vector"].tolist()), VECTORS)


def test_polars_opens_parquet(parquet: Path) -> None:
    import polars

    found = polars.read_parquet(parquet)
    assert found["ImageId"].to_list() == IDS
    assert found.schema["Vector"] == polars.Array(polars.Float32, 512)
    assert np.array_equal(found["Vector"].to_numpy(), VECTORS)


def test_duckdb_opens_parquet(parquet: Path) -> None:
    import duckdb

    rows = duckdb.connect().execute(f"SELECT ImageId, Vector FROM '{parquet}'").fetchall()
    assert [row[0] for row in rows] == IDS
    assert np.array_equal(np.array([row[1] for row in rows], np.float32), VECTORS)


@pytest.mark.parametrize("suffix", ["npz", "npy", "parquet"])
def test_nothing_and_half_precision_are_written_too(suffix: str, tmp_path: Path) -> None:
    write_vectors(tmp_path / f"none.{suffix}", [], np.empty((0, 0), np.float32))
    assert (tmp_path / f"none.{suffix}").stat().st_size > 0
    half = VECTORS.astype(np.float16)
    write_vectors(tmp_path / f"half.{suffix}", IDS, half)
    if suffix == "npy":
        assert np.array_equal(np.load(tmp_path / "half.npy"), half)
    if suffix == "parquet":
        import pyarrow.parquet

        found = pyarrow.parquet.read_table(tmp_path / "half.parquet")["Vector"].to_pylist()
        assert np.array_equal(np.array(found, np.float16), half)


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(b"old")
    write_vectors(path, IDS, VECTORS)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_vectors(tmp_path / "no" / "v.npy", IDS, VECTORS)


@pytest.mark.parametrize("name", ["v.csv", "v", "v.npz.gz", ".npz"])
def test_an_unknown_kind_of_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a name that ends with \.npz, \.npy, \.parquet"):
        check_target(tmp_path / name)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    check_target(tmp_path / "v.npz")
    with pytest.raises(ConfigurationError, match="there is no folder"):
        check_target(tmp_path / "no" / "v.npz")
