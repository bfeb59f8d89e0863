"""Tables of addresses: CSV, TSV and Parquet, of every kind of address, whole and damaged."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from embedder import embed
from embedder.errors import ConfigurationError
from embedder.records import Reference
from tests.embedder.listed import failures, ids, references, source
from tests.embedder.pictures import jpeg, put
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.web_server import web_server
from tests.parts.s3 import S3

Write = Callable[[Path, str, Sequence[str]], Path]


def write_text(folder: Path, column: str, rows: Sequence[str], suffix: str = ".csv") -> Path:
    mark = "\t" if suffix == ".tsv" else ","
    lines = [f"caption{mark}{column}", *(f'"two{mark}{number}"{mark}"{row}"' for number, row in enumerate(rows))]
    path = folder / f"table{suffix}"
    path.write_text("\ufeff" + "\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


def write_tsv(folder: Path, column: str, rows: Sequence[str]) -> Path:
    return write_text(folder, column, rows, ".tsv")


def write_parquet(folder: Path, column: str, rows: Sequence[str]) -> Path:
    path = folder / "table.parquet"
    parquet.write_table(pyarrow.table({"caption": list(map(str, range(len(rows)))), column: list(rows)}), path)
    return path


each_format = pytest.mark.parametrize("write", [write_text, write_tsv, write_parquet])


@each_format
def test_rows_name_files_relative_to_the_table(tmp_path: Path, write: Write) -> None:
    (first, second) = put(tmp_path, "in/0.jpg", "é #%.jpg")
    path = write(tmp_path, "Path", ["in/0.jpg", "é #%.jpg", first.as_uri(), "in/0.jpg"])
    found = source(path)
    images = references(found)
    assert [each.image_id for each in images] == ["in/0.jpg", "é #%.jpg", str(first).lstrip("/")]
    assert found.ignored == {"listed twice": 1}
    assert [found.read(each).data for each in images] == [first.read_bytes(), second.read_bytes(), first.read_bytes()]
    assert ids(path, image_id="uri") == [first.as_uri(), second.as_uri()]


@each_format
def test_a_column_without_a_known_name_is_a_sentence(tmp_path: Path, write: Write) -> None:
    with pytest.raises(ConfigurationError, match="it has caption, picture, and expected is one of uri, url, path"):
        source(write(tmp_path, "picture", ["a.jpg"]))


def test_the_first_of_the_known_names_is_taken(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file_name,URL\na.jpg,https://example.org/b.jpg?x=1\n")
    assert ids(tmp_path / "t.csv") == ["example.org/b.jpg?x=1"]


def test_rows_that_name_nothing_are_failures(tmp_path: Path) -> None:
    path = write_text(tmp_path, "uri", ["a.jpg", "", "ftp://a/b.jpg", "s3://bucket", "s3://b/a.jpg"])
    assert failures(source(path)) == {
        f"{path}, row 2": ("list", "BadAddress"),
        f"{path}, row 3": ("list", "BadAddress"),
        f"{path}, row 4": ("list", "BadAddress"),
        "a.jpg": ("check", "Collision"),
    }


def test_a_damaged_table_is_a_failure_after_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'path\na.jpg\nb.jpg\n"c.jpg\nd.jpg\n')
    found = source(path)
    assert [each.image_id for each in found.references()] == ["a.jpg", "b.jpg", str(path)]
    assert failures(found) == {str(path): ("list", "DamagedTable")}


def test_what_is_not_utf8_spoils_its_own_row_at_most(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"caption,path\ncaf\xe9,a.jpg\n,caf\xe9.jpg\n,https://a/caf\xe9.jpg\n")
    with open(os.path.join(os.fsencode(tmp_path), b"caf\xe9.jpg"), "wb") as file:
        file.write(jpeg(1))
    found = source(tmp_path / "t.csv")
    listed = list(found.references())
    assert [each.image_id for each in listed] == ["a.jpg", r"caf\xe9.jpg", f"{tmp_path}/t.csv, row 3"]
    assert isinstance(listed[1], Reference)
    assert found.read(listed[1]).data == jpeg(1)


@pytest.mark.parametrize(("name", "data"), [("t.parquet", b"PAR1 no"), ("t.parquet", b""), ("t.csv", b"")])
def test_what_is_no_table_is_a_sentence(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigurationError, match=name):
        source(tmp_path / name)


def test_stems_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--image-id stem is not possible"):
        source(write_text(tmp_path, "path", ["a.jpg"]), image_id="stem")


@pytest.mark.parametrize("write", [write_text, write_parquet])
def test_a_table_in_s3(bucket: S3, tmp_path: Path, write: Write) -> None:
    path = write(tmp_path, "key", ["1.jpg", "in/2.jpg", bucket.uri("3.jpg")])
    key = f"t/{path.name}"
    bucket.put({key: path.read_bytes(), "t/1.jpg": jpeg(1), "t/in/2.jpg": jpeg(2), "3.jpg": jpeg(3)})
    found = source(bucket.uri(key))
    images = references(found)
    assert [each.image_id for each in images] == ["t/1.jpg", "t/in/2.jpg", "3.jpg"]
    assert [found.read(each).data for each in images] == [jpeg(1), jpeg(2), jpeg(3)]
    with pytest.raises(ConfigurationError, match="there is no table"):
        source(bucket.uri("none.csv"))


def test_a_run_over_the_web(encoder: PixelEncoder, tmp_path: Path) -> None:
    put(tmp_path, "here.jpg", first_seed=9)
    with web_server() as server:
        rows = [f"{server.url}/1.jpg", f"{server.url}/2.jpg", f"{server.url}/status/404", "here.jpg"]
        path = write_text(tmp_path, "url", rows)
        refused = embed(path, tmp_path / "w.db", weights="random")
        assert refused.failures_by_cause == {"fetch: PrivateAddress": 3}
        report = embed(path, tmp_path / "v.db", weights="random", allow_private=True)
        assert (report.embedded, report.failures_by_cause) == (3, {"fetch: NotFound": 1})
        assert embed(path, tmp_path / "v.db", weights="random", allow_private=True).skipped == 3
    assert encoder.opened == 2


def test_a_long_table_is_listed_as_it_is_read(tmp_path: Path) -> None:
    path = write_parquet(tmp_path, "path", [f"{number}.jpg" for number in range(5000)])
    found = source(path).references()
    assert isinstance(first := next(found), Reference)
    assert first.image_id == "0.jpg"
    assert sum(1 for _ in found) == 4999
