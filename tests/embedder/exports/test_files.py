"""Files of vectors, opened by the tools that people have."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from embedder.errors import ConfigurationError, TransientError
from embedder.exports import Wanted, arrow, open_target
from tests.cli import ROOT
from tests.embedder.stored import FINGERPRINT, fill, many, stored

IDS = ["cats/1.jpg", "line\nbreak 🐈.jpg", 'it\'s "quoted".jpg']
VECTORS = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)


def write_vectors(path: Path, store: str, ids: list[str] | None, prefix: str = "") -> Sequence[str]:
    return open_target(str(path))(Wanted(store=store, ids=ids, prefix=prefix)).found


def write(path: Path, vectors: np.ndarray = VECTORS) -> None:
    """Put vectors into a store, in another order than that of the file, and write the file."""
    store = str(path.parent / f"{path.name}.db")
    rows = [
        stored(each, vector=row.tobytes(), data_type=row.dtype.name) for each, row in zip(IDS, vectors, strict=True)
    ]
    fill(store, rows[::-1])
    assert write_vectors(path, store, IDS) == IDS
    Path(store).unlink()


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    write(tmp_path / "v.parquet")
    return tmp_path / "v.parquet"


def test_npz(tmp_path: Path) -> None:
    path = tmp_path / "v.npz"
    write(path)
    with np.load(path, allow_pickle=False) as found:
        assert set(found) == {"ids", "vectors"}
        assert found["ids"].tolist() == IDS
        assert np.array_equal(found["vectors"], VECTORS)
        assert found["vectors"].dtype == np.float32


def test_npy(tmp_path: Path) -> None:
    write(tmp_path / "v.npy")
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


def test_arrow_files_and_csv_hold_the_same_numbers(tmp_path: Path) -> None:
    import pandas
    import pyarrow.feather

    write(tmp_path / "v.feather")
    write(tmp_path / "v.csv")
    arrow = pyarrow.feather.read_table(tmp_path / "v.feather")
    assert arrow["ImageId"].to_pylist() == IDS
    assert np.array_equal(np.stack(arrow.to_pandas()["Vector"].tolist()), VECTORS)
    text = pandas.read_csv(tmp_path / "v.csv")
    assert text["ImageId"].tolist() == IDS
    assert np.array_equal(text.drop(columns="ImageId").to_numpy(np.float32), VECTORS)


def test_metadata_are_columns_where_there_is_some(store_name: str, tmp_path: Path) -> None:
    import pandas

    full = {"width": 6000, "height": 4000, "size": 12_345_678, "format": "JPEG", "taken": "2024-05-01T12:30:00+02:00"}
    without = [stored("plain,1", 1, fingerprint="other"), stored("plain,2", 2)]
    fill(store_name, [*without, stored("full", 3, **full), stored("half", 4, **full | {"taken": None})])
    wanted = [("full", *full.values()), ("half", 6000, 4000, 12_345_678, "JPEG", None), ("plain,2", *[None] * 5)]
    readers = {"parquet": pandas.read_parquet, "feather": pandas.read_feather, "csv": pandas.read_csv}
    for ids in (None, ["full", "half", "plain,2"]):
        chosen = Wanted(store=store_name, ids=ids, fingerprint=FINGERPRINT)
        for suffix, opened in readers.items():
            path = tmp_path / f"v.{suffix}"
            assert list(open_target(str(path))(chosen).found) == ["full", "half", "plain,2"]
            found = opened(path)[["ImageId", "Width", "Height", "Bytes", "Format", "Taken"]].astype(object)
            assert list(found.where(found.notna(), None).itertuples(index=False, name=None)) == wanted, suffix


@pytest.mark.parametrize("suffix", ["npz", "npy", "parquet"])
def test_nothing_and_half_precision_are_written_too(suffix: str, tmp_path: Path) -> None:
    fill(str(tmp_path / "vectors.db"), many(1))
    assert write_vectors(tmp_path / f"none.{suffix}", str(tmp_path / "vectors.db"), None, prefix="no/") == []
    assert content(tmp_path / f"none.{suffix}")[1].size == 0
    half = VECTORS.astype(np.float16)
    write(tmp_path / f"half.{suffix}", half)
    found = content(tmp_path / f"half.{suffix}")[1]
    assert np.array_equal(found, half)
    assert found.dtype == np.float16 or suffix == "parquet"


def content(path: Path) -> tuple[list[str], np.ndarray]:
    """Ids, none of an `.npy`, and vectors of a file."""
    if path.suffix == ".npy":
        return [], np.load(path, allow_pickle=False)
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as found:
            return found["ids"].tolist(), found["vectors"]
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    return table["ImageId"].to_pylist(), np.array(table["Vector"].to_pylist())


@pytest.mark.parametrize("suffix", ["npz", "npy", "parquet"])
def test_the_order_is_that_asked_for_or_sorted(
    suffix: str, store_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "ROW_GROUP", 100)
    vectors = many(230)
    np.random.default_rng(0).shuffle(vectors)
    fill(store_name, vectors)
    rows = {each.image_id: np.frombuffer(each.vector, "<f4") for each in vectors}
    twice = ["image-00007", "nowhere", "image-00003", "image-00007"]
    for ids, wanted in ((None, sorted(rows)), (twice, [twice[0], *twice[2:]])):
        path = tmp_path / f"v.{suffix}"
        assert write_vectors(path, store_name, ids) == wanted
        names, found = content(path)
        assert names == ([] if suffix == "npy" else wanted)
        assert np.array_equal(found, [rows[each] for each in wanted])
    assert {each.suffix for each in tmp_path.iterdir()} <= {f".{suffix}", ".db"}


def test_a_parquet_file_is_of_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow.parquet

    monkeypatch.setattr(arrow, "ROW_GROUP", 100)
    fill(str(tmp_path / "vectors.db"), many(230))
    write_vectors(tmp_path / "v.parquet", str(tmp_path / "vectors.db"), None)
    found = pyarrow.parquet.ParquetFile(tmp_path / "v.parquet").metadata
    assert [found.row_group(number).num_rows for number in range(found.num_row_groups)] == [100, 100, 30]


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    path.write_bytes(b"old")
    write(path)
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(ConfigurationError, match="there is no store"):
        write_vectors(path, "nowhere.db", None)
    assert np.array_equal(np.load(path), VECTORS)
    fill(str(tmp_path / "vectors.db"), many(1))
    with pytest.raises(ConfigurationError, match="there is no folder"):
        write_vectors(tmp_path / "no" / "v.npy", str(tmp_path / "vectors.db"), None)


@pytest.mark.parametrize("count", [150, 400], ids=["for the file", "for the vectors"])
def test_a_disk_that_is_too_small(count: int, tmp_path: Path, small_disk: Path) -> None:
    fill(str(tmp_path / "vectors.db"), many(count))
    with pytest.raises(TransientError, match=r"no space left for --out .*v\.npy; free some"):
        write_vectors(small_disk / "v.npy", str(tmp_path / "vectors.db"), None)
    assert list(small_disk.iterdir()) == []


PEAK = """
import sys
from embedder.exports import Wanted, open_target
from tests.embedder.limits import peak_megabytes
open_target(sys.argv[1])(Wanted(store=sys.argv[2], prefix=sys.argv[3]))
print(peak_megabytes())
"""


@pytest.mark.parametrize("suffix", ["npz", "npy"])
def test_memory_does_not_hold_the_vectors(suffix: str, tmp_path: Path) -> None:
    """Sixty thousand of 2 kB are 120 MB, and were held three times."""
    store, vector = str(tmp_path / "vectors.db"), bytes(2048)
    fill(store, [stored(f"{number % 600}/{number:05d}", vector=vector) for number in range(60_000)])

    def peak(prefix: str) -> float:
        command = [sys.executable, "-c", PEAK, str(tmp_path / f"v.{suffix}"), store, prefix]
        return float(subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True))

    few, all_of_them = peak("7/"), peak("")
    print(f"{few:.0f} MB for 100, {all_of_them:.0f} MB for 60,000")
    assert all_of_them - few < 70


@pytest.mark.parametrize("name", ["v.xls", "v", "v.npz.gz", ".npz"])
def test_an_unknown_kind_of_file_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"expected a file that ends with \.npz, \.npy, \.parquet"):
        open_target(str(tmp_path / name))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    open_target(str(tmp_path / "v.npz"))
    with pytest.raises(ConfigurationError, match="there is no folder"):
        open_target(str(tmp_path / "no" / "v.npz"))
