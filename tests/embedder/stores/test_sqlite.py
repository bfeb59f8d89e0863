"""The SQLite store: one file, written by one process, readable by anyone, whole whatever happens."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from embedder.errors import ConfigurationError, TransientError
from embedder.stores import open_store, sqlite
from tests.cli import ROOT
from tests.embedder.stored import contents, fill, many, opened, stored

WRITE_AND_DIE = """
import os, sys
from tests.embedder.stored import many
from embedder.stores import open_store
store = open_store(sys.argv[1])
store.write(many(40))
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "vectors.db"


@pytest.fixture(autouse=True)
def folder(path: Path) -> None:
    path.parent.mkdir()


def test_the_file_comes_with_the_first_write(path: Path) -> None:
    with opened(str(path)) as store:
        store.prepare()
        assert store.lookup(["a"]) == {}
        assert list(path.parent.iterdir()) == []
        store.write([stored("a")])
        assert path.exists()


def test_one_file_is_left_when_it_is_closed(path: Path) -> None:
    fill(str(path), many(2500))
    assert [each.name for each in path.parent.iterdir()] == ["vectors.db"]
    assert len(contents(str(path))) == 2500
    assert [each.name for each in path.parent.iterdir()] == ["vectors.db"]


def test_any_sqlite_opens_it(path: Path) -> None:
    fill(str(path), [stored("a", 1)])
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    row = dict(connection.execute("SELECT * FROM vectors").fetchone())
    connection.close()
    expected = stored("a", 1)
    assert row == {
        "ImageId": "a",
        "Vector": expected.vector,
        "DataType": "float32",
        "Dimension": 512,
        "Created": expected.created,
        "Fingerprint": expected.fingerprint,
        "ETag": "etag-1",
        "Source": "file:///pictures/1.jpg",
        "Modified": "10-1",
    }


def test_a_write_is_one_transaction(path: Path) -> None:
    with opened(str(path)) as store:
        store.write([stored("a", 1)])
        with pytest.raises(ConfigurationError):
            store.write([stored("b", 2), stored("c", 3, dimension=None)])
        assert [each.image_id for each in store.describe()] == ["a"]
        store.write([stored("d", 4)])
    assert set(contents(str(path))) == {"a", "d"}


def test_a_killed_writer_loses_nothing_it_finished(path: Path) -> None:
    command = [sys.executable, "-c", WRITE_AND_DIE, str(path)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == -9
    assert (path.parent / "vectors.db-wal").exists()
    assert len(contents(str(path))) == 40
    fill(str(path), [stored("another")])
    assert len(contents(str(path))) == 41
    assert [each.name for each in path.parent.iterdir()] == ["vectors.db"]


def test_a_second_process_reads_while_the_first_writes(path: Path) -> None:
    reading = "import sys; from tests.embedder.stored import contents; print(len(contents(sys.argv[1])))"
    with opened(str(path)) as store:
        store.write(many(10))
        command = [sys.executable, "-c", reading, str(path)]
        found = subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
        assert found == "10\n"
        store.write([stored("after")])
    assert len(contents(str(path))) == 11


def test_two_processes_write_side_by_side(path: Path) -> None:
    script = (
        "import sys\n"
        "from tests.embedder.stored import opened, stored\n"
        "with opened(sys.argv[1]) as store:\n"
        "    for number in range(30):\n"
        "        store.write([stored(f'{sys.argv[2]}-{number}', number)])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen([sys.executable, "-c", script, str(path), name], env=env) for name in ("one", "two")]
    assert [each.wait(60) for each in both] == [0, 0]
    assert set(contents(str(path))) == {f"{name}-{number}" for name in ("one", "two") for number in range(30)}
    assert [each.name for each in path.parent.iterdir()] == ["vectors.db"]


def test_a_locked_file_is_a_passing_matter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.1)
    fill(str(path), many(1))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(TransientError, match="locked by another process"):
            fill(str(path), many(2))
    finally:
        other.close()
    fill(str(path), many(2))
    assert len(contents(str(path))) == 2


def test_a_full_disk_is_a_passing_matter(path: Path) -> None:
    with opened(str(path)) as store:
        assert isinstance(store, sqlite.SQLiteStore)
        store.write(many(10))
        assert store.connection is not None
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(TransientError, match=r"the disk of .* is full"):
            store.write(many(200, "more-"))
    assert len(contents(str(path))) == 10


def test_a_read_only_file_can_still_be_read(path: Path) -> None:
    fill(str(path), many(3))
    path.chmod(0o444)
    path.parent.chmod(0o555)
    try:
        assert len(contents(str(path))) == 3
        assert [each.name for each in path.parent.iterdir()] == ["vectors.db"]
    finally:
        path.parent.chmod(0o755)


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    path.touch()
    assert contents(str(path)) == {}
    fill(str(path), many(1))
    assert len(contents(str(path))) == 1


def test_another_database_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="without a table `vectors`"):
        open_store(str(path))
    assert path.read_bytes() == before


def test_a_table_of_the_same_name_but_other_columns_is_left_alone(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE vectors (ImageId TEXT, Vector BLOB)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="without the column DataType"):
        open_store(str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database\n" * 100, b"a short note\n"])
def test_a_text_file_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="not a SQLite database"):
        open_store(str(path))
    assert path.read_bytes() == content


def test_a_truncated_store_is_one_sentence(path: Path) -> None:
    fill(str(path), many(50))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigurationError, match="cannot be used"):
        contents(str(path))


def test_a_folder_is_no_store(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a folder"):
        open_store(str(path.parent))


def test_a_store_that_must_exist_is_not_made(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no store at"):
        open_store(str(path), must_exist=True)
    assert not path.exists()


def test_a_missing_folder_is_refused_before_any_work(path: Path) -> None:
    with (
        opened(str(path.parent / "no" / "vectors.db")) as store,
        pytest.raises(ConfigurationError, match="there is no folder"),
    ):
        store.prepare()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(path: Path) -> None:
    path.parent.chmod(0o555)
    try:
        with opened(str(path)) as store, pytest.raises(ConfigurationError, match="cannot be written"):
            store.prepare()
    finally:
        path.parent.chmod(0o755)


def test_odd_file_names(path: Path) -> None:
    for name in ("a?b#c%20.db", "with space 🐈.db", "no-suffix"):
        odd = path.parent / name
        fill(str(odd), many(1))
        assert odd.exists()
        assert len(contents(str(odd))) == 1


def test_an_unknown_scheme_is_no_store() -> None:
    with pytest.raises(ConfigurationError, match="is not a store"):
        open_store("mysql://host/vectors")


def test_finding_out_whether_it_can_be_written_never_deletes_what_another_run_makes(path: Path) -> None:
    for _ in range(20):
        with opened(str(path)) as early:
            making = threading.Thread(target=fill, args=(str(path), many(3)))
            making.start()
            while making.is_alive():
                early.prepare()
            making.join()
        assert len(contents(str(path))) == 3
        path.unlink()
