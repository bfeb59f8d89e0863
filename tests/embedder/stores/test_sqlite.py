"""The SQLite store: one file, written by one process, readable by anyone, whole whatever happens."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from embedder import read
from embedder.errors import ConfigurationError, TransientError
from embedder.records import ATTRIBUTES, SCHEMA_VERSION, StoredVector
from embedder.stores import open_store, sqlite, sqlite_file
from tests.cli import ROOT
from tests.embedder.disks import Disk
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
        "Scale": None,
        **dict.fromkeys(("Width", "Height", "Bytes", "Format", "Taken")),
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
        "for number in range(30):\n"
        "    with opened(sys.argv[1]) as store:\n"
        "        store.prepare()\n"
        "        assert store.lookup(['nowhere']) == {}\n"
        "        for part in range(3):\n"
        "            store.write([stored(f'{sys.argv[2]}-{number}-{part}', number)])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen([sys.executable, "-c", script, str(path), name], env=env) for name in ("one", "two")]
    assert [each.wait(60) for each in both] == [0, 0]
    written = {f"{name}-{number}-{part}" for name in ("one", "two") for number in range(30) for part in range(3)}
    assert set(contents(str(path))) == written
    assert [each.name for each in path.parent.iterdir()] == ["vectors.db"]


def test_opening_it_again_takes_no_lock_from_a_writer_of_the_same_process(path: Path) -> None:
    """Closing a file takes all locks that the process has on it; another process would then take the WAL away."""
    script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA journal_mode = DELETE')"

    def folded_back_by_another_process() -> bool:
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0 or "locked" in done.stderr
        return done.returncode == 0

    with opened(str(path)) as store:
        store.write(many(3))
        assert not folded_back_by_another_process()
        with opened(str(path)) as again:
            assert not folded_back_by_another_process()
            again.prepare()
            assert not folded_back_by_another_process()
            assert len(again.lookup(["image-00000"])) == 1
        assert not folded_back_by_another_process()
    assert folded_back_by_another_process()


def test_a_locked_file_is_a_passing_matter(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.1)
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


def test_a_moment_s_lock_is_waited_for(path: Path) -> None:
    """Turning to a WAL is refused at once, however long SQLite may wait otherwise."""
    fill(str(path), many(1))
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    with opened(str(path)) as store:
        threading.Timer(0.3, other.rollback).start()
        store.write(many(2))
    other.close()
    assert len(contents(str(path))) == 2


def test_a_full_disk_is_a_passing_matter(path: Path) -> None:
    with opened(str(path)) as store:
        assert isinstance(store, sqlite.SQLiteStore)
        store.write(many(10))
        assert store.connection is not None
        pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
        store.connection.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(TransientError, match=r"no space left for the store .*vectors\.db"):
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
@pytest.mark.parametrize("exists", [False, True])
def test_a_folder_that_cannot_be_written_is_refused_before_any_work(path: Path, exists: bool) -> None:
    if exists:
        fill(str(path), many(1))
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


COLUMNS = (
    "ImageId TEXT NOT NULL PRIMARY KEY, DataType TEXT NOT NULL, Dimension INTEGER NOT NULL, Created TEXT NOT NULL, "
    "Fingerprint TEXT NOT NULL, ETag TEXT NOT NULL, Source TEXT NOT NULL, {}Vector BLOB NOT NULL"
)
SHAPES = {"the first": "", "with Modified": "Modified TEXT, ", "version 1": "Modified TEXT, Scale REAL, "}
"""Every shape that an older file may have, by the columns that the first one lacks."""


def old_file(path: Path, extra: str, vectors: list[StoredVector], version: int = 0) -> None:
    """Make a file as an older embedder left it, with no code of ours."""
    names = [each.split()[0] for each in COLUMNS.format(extra).split(", ")]
    fields = {"ImageId": "image_id", "DataType": "data_type", "ETag": "etag"}
    rows = [[getattr(vector, fields.get(name, name.lower())) for name in names] for vector in vectors]
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE vectors ({COLUMNS.format(extra)})")
    connection.executemany(f"INSERT INTO vectors VALUES ({', '.join('?' * len(names))})", rows)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.commit()
    connection.close()


def columns(path: Path) -> tuple[int, set[str]]:
    """The version of a file's schema, and its columns."""
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = {row[1] for row in connection.execute("PRAGMA table_info(vectors)")}
    connection.close()
    return version, found


class TestSchema:
    def test_a_new_file_says_its_version(self, path: Path) -> None:
        fill(str(path), many(1))
        version, found = columns(path)
        assert version == SCHEMA_VERSION > 0
        assert found == {each.name for each in ATTRIBUTES}

    @pytest.mark.parametrize("shape", SHAPES)
    def test_an_older_file_is_read_as_it_is(self, path: Path, shape: str) -> None:
        before = [stored(f"{number}", number, modified="10-1" if SHAPES[shape] else None) for number in range(3)]
        old_file(path, SHAPES[shape], before)
        content = path.read_bytes()
        path.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            assert contents(str(path)) == {each.image_id: each for each in before}
            with opened(str(path)) as store:
                assert store.lookup(["1"])["1"].scale is None
                assert [set(each.scales) for each in store.blocks()] == [{None}]
            ids, vectors = read(path)
            assert (ids, vectors.shape) == (["0", "1", "2"], (3, 512))
        finally:
            path.parent.chmod(0o755)
        assert path.read_bytes() == content
        assert [each.name for each in path.parent.iterdir()] == ["vectors.db"]

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("change", ["write", "delete"])
    def test_an_older_file_is_brought_forward_by_what_changes_it(self, path: Path, shape: str, change: str) -> None:
        before = [stored(f"{number}", number, modified=None) for number in range(3)]
        old_file(path, SHAPES[shape], before)
        after = {each.image_id: each for each in before}
        with opened(str(path)) as reading, opened(str(path)) as store:
            store.prepare()
            assert columns(path)[0] == 0, "nothing has been written yet"
            if change == "write":
                after |= {"new": stored("new", 7), "0": stored("0", 8, data_type="uint8", dimension=2048, scale=0.5)}
                store.write([after["new"], after["0"]])
            else:
                store.delete([after.pop("0").image_id])
            assert {each.image_id: each for each in reading.get(list(after))} == after, "an open reader sees the scale"
        assert columns(path) == (SCHEMA_VERSION, {each.name for each in ATTRIBUTES})
        assert contents(str(path)) == after

    def test_two_runs_bring_it_forward_at_once(self, path: Path) -> None:
        old_file(path, "", [])
        threads = [threading.Thread(target=fill, args=(str(path), many(20, f"{name}-"))) for name in "abcd"]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(contents(str(path))) == 80
        assert columns(path)[0] == SCHEMA_VERSION

    def test_a_newer_file_is_refused_and_left_alone(self, path: Path) -> None:
        newer = SCHEMA_VERSION + 1
        old_file(path, "Modified TEXT, Scale REAL, Mood TEXT, ", [], newer)
        before = path.read_bytes()
        with pytest.raises(ConfigurationError) as caught:
            open_store(str(path))
        said = str(caught.value)
        for fact in (str(path), f"schema version {newer}", f"version {SCHEMA_VERSION};", "a newer one"):
            assert fact in said
        assert path.read_bytes() == before

    def test_a_file_that_becomes_newer_is_refused_by_the_first_write(self, path: Path) -> None:
        with opened(str(path)) as store:
            store.prepare()
            old_file(path, "Modified TEXT, Scale REAL, ", [], SCHEMA_VERSION + 1)
            with pytest.raises(ConfigurationError, match=f"schema version {SCHEMA_VERSION + 1}"):
                store.write(many(1))
        assert columns(path)[0] == SCHEMA_VERSION + 1

    def test_columns_of_somebody_else_s_stay(self, path: Path) -> None:
        old_file(path, "", [stored("old", modified=None)])
        connection = sqlite3.connect(path)
        connection.execute("ALTER TABLE vectors ADD COLUMN Label TEXT DEFAULT 'none'")
        connection.commit()
        connection.close()
        fill(str(path), many(1))
        assert set(contents(str(path))) == {"old", "image-00000"}
        assert "Label" in columns(path)[1]


def test_a_power_cut_loses_only_the_last_writes_and_never_the_file(disk: Disk) -> None:
    path = disk.folder / "vectors.db"
    fill(str(path), many(40))
    with disk.after_a_power_cut() as found:
        assert len(contents(str(found / path.name))) == 40, "a run that has ended is on the disk"
    with opened(str(path)) as store:
        for number in range(20):
            store.write(many(10, f"{number}-"))
        with disk.after_a_power_cut() as found:
            survived = contents(str(found / path.name))
            connection = sqlite3.connect(found / path.name)
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            connection.close()
    print(f"{len(survived)} of 240 vectors")
    assert {each.image_id for each in many(40)} <= set(survived)
    assert len(survived) % 10 == 0, "a transaction is there as a whole or not at all"
    with disk.after_a_power_cut() as found:
        assert len(contents(str(found / path.name))) == 240
