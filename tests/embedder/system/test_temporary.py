"""Temporary files where they find no folder, and where they find no room."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from embedder import embed
from embedder.errors import ConfigurationError, TransientError
from embedder.system.temporary import find_folder, temporary_file, temporary_folder
from tests.cli import Cli
from tests.embedder.commands import command
from tests.embedder.limits import longest_file
from tests.embedder.stored import fill, many

REMEDY = "in a container with a read-only root, mount one: --tmpfs /tmp; elsewhere make room in /tmp, or let TMPDIR"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What TMPDIR names, as in a process that has not looked for it yet."""
    named = tmp_path / "temporary"
    named.mkdir()
    monkeypatch.setenv("TMPDIR", str(named))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return named


def fill_up(disk: Path, *, leaving: int) -> None:
    """Leave so many bytes on a small disk."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                file.truncate(file.tell() - leaving)
                return


def test_they_lie_where_tmpdir_says_and_are_gone_afterwards(folder: Path) -> None:
    with temporary_folder("a test") as made:
        (made / "file").write_bytes(b"x")
        assert made.parent == folder
    with temporary_file("a test") as file:
        file.write(b"some")
        file.seek(0)
        assert file.read() == b"some"
    assert list(folder.iterdir()) == []
    with pytest.raises(ZeroDivisionError), temporary_folder("a test"):
        raise ZeroDivisionError
    assert list(folder.iterdir()) == []


def test_a_tmpdir_that_is_not_there_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    assert find_folder("a test").is_dir()


def test_no_folder_at_all_is_a_sentence() -> None:
    with longest_file(0):
        for make in (temporary_file, temporary_folder):
            with pytest.raises(ConfigurationError) as caught, make("a test"):
                pytest.fail("there is a folder")
            assert str(caught.value).startswith("no folder for temporary files can be written, and a test needs one; ")
            assert REMEDY in str(caught.value)


@pytest.mark.parametrize("limited", ["file", "disk"])
def test_no_room_is_a_sentence_that_names_the_folder(
    limited: str, folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if limited == "disk":
        folder = request.getfixturevalue("small_disk")
        monkeypatch.setenv("TMPDIR", str(folder))
    said = f"no more room in {folder}: .*; make some and run again, or let TMPDIR"
    with longest_file(300_000), pytest.raises(TransientError, match=said), temporary_file("a test") as file:
        file.write(bytes(800_000))


def test_another_trouble_is_passed_on() -> None:
    with pytest.raises(FileNotFoundError), temporary_folder("a test") as made:
        (made / "absent").read_bytes()


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store of 400 vectors, of 2 kB each."""
    fill(str(tmp_path / "vectors.db"), many(400))
    return str(tmp_path / "vectors.db")


def test_duplicates_without_a_folder(store: str) -> None:
    with longest_file(0):
        done = command("duplicates", store)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "the comparison of all vectors needs one" in done.stderr
    assert REMEDY in done.stderr


def test_duplicates_without_room(store: str, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    done = command("duplicates", store)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1)
    assert f"no more room in {small_disk}: No space left on device; make some" in done.stderr
    assert list(small_disk.iterdir()) == []


@pytest.mark.usefixtures("encoder")
def test_a_query_without_a_folder_or_without_room(
    tmp_path: Path, photo_folder: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, query = str(tmp_path / "vectors.db"), photo_folder / "photo-0003.jpg"
    embed(photo_folder, store, weights="random")
    with longest_file(0):
        done = command("similar", store, query, "--weights", "random")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "a query that is not stored needs one" in done.stderr
    monkeypatch.setenv("TMPDIR", str(small_disk))
    fill_up(small_disk, leaving=8192)
    done = command("similar", store, query, "--weights", "random")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1), done.stderr
    assert f"{query} cannot be embedded at the moment: " in done.stderr
    assert str(small_disk) in done.stderr
    (small_disk / "ballast").unlink()
    assert command("similar", store, query, "--weights", "random").returncode == 0
    assert list(small_disk.iterdir()) == []


def test_torch_without_a_folder(tmp_path: Path, cli: Cli) -> None:
    """In a process of its own, which has not imported it yet."""
    (tmp_path / "images").mkdir()
    with longest_file(0):
        done = cli("run", "images", "--model", "resnet50", "--weights", "random")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "and torch needs one" in done.stderr
