"""Files that appear whole or not at all; temporary files; and a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedder import embed
from embedder.errors import ConfigurationError, TransientError
from embedder.system.files import (
    find_folder,
    is_out_of_space,
    read_text,
    recall,
    remember,
    replacing,
    temporary_file,
    temporary_folder,
    writing,
)
from tests.cli import ROOT, Cli
from tests.embedder.commands import command
from tests.embedder.disks import Disk
from tests.embedder.limits import longest_file
from tests.embedder.stored import fill, many

REMEDY = "in a container with a read-only root, mount one: --tmpfs /tmp; elsewhere free space in /tmp, or let TMPDIR"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What TMPDIR names, as in a process that has not looked for it yet."""
    named = tmp_path / "temporary"
    named.mkdir()
    monkeypatch.setenv("TMPDIR", str(named))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return named


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file, alone in its folder, with the text `old`. Its name is a pattern that does not match itself."""
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / "file[1].txt"
    path.write_text("old")
    return path


def put(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text)


class TestReplacing:
    def test_a_file_appears_when_it_is_complete(self, target: Path) -> None:
        with replacing(target) as part:
            part.write_text("new")
            assert target.read_text() == "old"
        assert target.read_text() == "new"
        assert list(target.parent.iterdir()) == [target]

    def test_two_writers_at_once_do_not_disturb_each_other(self, target: Path) -> None:
        with replacing(target) as first:
            first.write_text("first")
            put(target, "second")
            assert target.read_text() == "second"
            assert first.read_text() == "first"
        assert target.read_text() == "first"
        assert list(target.parent.iterdir()) == [target]

    def test_an_error_leaves_what_was_there(self, target: Path) -> None:
        def write() -> None:
            with replacing(target) as part:
                part.write_text("half")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            write()
        assert target.read_text() == "old"
        assert list(target.parent.iterdir()) == [target]

    def test_a_name_that_cannot_be_written_is_said_before_the_work(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No such file"), replacing(tmp_path / "no" / "out.txt"):
            pytest.fail("the work had begun")

    def test_what_a_killed_writer_left_is_deleted_and_nothing_else(self, target: Path) -> None:
        script = "import os, sys; from pathlib import Path; from embedder.system.files import replacing\n"
        script += f"with replacing(Path({str(target)!r})) as part: part.write_text('half'); os._exit(9)"
        subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
        (left,) = (each for each in target.parent.iterdir() if each != target)
        with replacing(target) as part:
            part.write_text("whole")
            assert left.exists(), "it might have been begun just now"
            for each in (left, part):
                os.utime(each, (0, 0))
            put(target, "between")
            assert part.exists(), "somebody is writing it"
            assert not left.exists()
        assert target.read_text() == "whole"
        assert list(target.parent.iterdir()) == [target]

    def test_the_file_is_synced_before_it_is_renamed_and_its_folder_afterwards(self, target: Path) -> None:
        with calls_of(os.fsync, os.replace) as seen:
            put(target, "new")
        assert seen == ["fsync", "replace", "fsync"]

    def test_after_a_power_cut_the_file_is_whole(self, disk: Disk) -> None:
        path = disk.folder / "file"
        put(path, "old" * 1000)
        (disk.folder / "part").write_text("unsynced" * 1000)
        os.replace(disk.folder / "part", path)
        with disk.after_a_power_cut() as found:
            assert (found / "file").read_text() == "old" * 1000, "a file that is only renamed may be lost"
        put(path, "new" * 1000)
        with disk.after_a_power_cut() as found:
            assert (found / "file").read_text() == "new" * 1000
        with replacing(path) as part:
            part.write_text("newer" * 1000)
            with disk.after_a_power_cut() as found:
                assert (found / "file").read_text() == "new" * 1000


@contextmanager
def calls_of(*functions: Any) -> Iterator[list[str]]:
    """Give the names of those of some built-in functions that are called in the block, in their order."""
    seen: list[str] = []

    def watch(_frame: Any, event: str, called: Any) -> None:
        if event == "c_call" and called in functions:
            seen.append(called.__name__)

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(before)


class TestNoSpace:
    @pytest.mark.parametrize("limited", ["file", "disk"])
    def test_a_file_that_a_user_asked_for(self, limited: str, target: Path, request: pytest.FixtureRequest) -> None:
        path = request.getfixturevalue("small_disk") / "file" if limited == "disk" else target
        limit = 300_000 if limited == "file" else 1 << 30
        with longest_file(limit), pytest.raises(TransientError) as caught, writing(path, "--out") as part:
            part.write_bytes(bytes(800_000))
        assert f"no space left for --out {path}" in str(caught.value)
        assert ("File too large" in str(caught.value)) == (limited == "file"), "freeing space would not help alone"
        assert [each for each in path.parent.iterdir() if each != target] == []
        assert target.read_text() == "old"

    def test_another_trouble_is_for_the_user_to_mend(self, target: Path) -> None:
        with (
            pytest.raises(ConfigurationError, match=r"--html .* cannot be written: Is a directory"),
            writing(target.parent, "--html") as part,
        ):
            part.write_text("new")
        assert not is_out_of_space(FileNotFoundError(2, "No such file"))

    @pytest.mark.parametrize("suffix", ["npz", "npy", "parquet"])
    def test_read_says_try_again_as_duplicates_does(self, suffix: str, store: str, target: Path) -> None:
        with longest_file(300_000):
            done = command("read", store, "--out", target.parent / f"v.{suffix}")
            others = command("duplicates", store)
        for each in (done, others):
            assert (each.returncode, each.stdout, each.stderr.count("\n")) == (75, "", 1), each.stderr
            assert "no space left for" in each.stderr
        assert f"v.{suffix} (File too large); free some" in done.stderr
        assert list(target.parent.iterdir()) == [target]


def test_what_is_remembered_is_recalled(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answer.json"
    assert recall(path) == {}
    remember(path, {"engine": "torch"})
    assert recall(path) == {"engine": "torch"}
    for damaged in ("[1]", "{half"):
        path.write_text(damaged)
        assert recall(path) == {}
    remember(path / "below-a-file", {"engine": "torch"})
    assert recall(path / "below-a-file") == {}
    assert read_text(path) == "{half"
    assert read_text(path / "below-a-file") is None


def fill_up(disk: Path, *, leaving: int) -> None:
    """Leave so many bytes on a small disk."""
    with (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            try:
                file.write(bytes(4096))
            except OSError:
                file.truncate(file.tell() - leaving)
                return


class TestTemporary:
    def test_they_lie_where_tmpdir_says_and_are_gone_afterwards(self, folder: Path) -> None:
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

    def test_a_tmpdir_that_is_not_there_is_passed_over(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
        assert find_folder("a test").is_dir()

    def test_no_folder_at_all_is_a_sentence(self) -> None:
        with longest_file(0):
            for make in (temporary_file, temporary_folder):
                with pytest.raises(ConfigurationError) as caught, make("a test"):
                    pytest.fail("there is a folder")
                assert "no folder for temporary files" in str(caught.value)
                assert "a test needs one" in str(caught.value)
                assert REMEDY in str(caught.value)

    @pytest.mark.parametrize("limited", ["file", "disk"])
    def test_no_space_is_a_sentence_that_names_the_folder(
        self, limited: str, folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if limited == "disk":
            folder = request.getfixturevalue("small_disk")
            monkeypatch.setenv("TMPDIR", str(folder))
        said = f"temporary files in {folder}.*; free some and run again, or let TMPDIR"
        with longest_file(300_000), pytest.raises(TransientError, match=said), temporary_file("a test") as file:
            file.write(bytes(800_000))

    def test_another_trouble_is_passed_on(self) -> None:
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


def test_duplicates_without_space(store: str, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    done = command("duplicates", store)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (75, "", 1)
    assert f"temporary files in {small_disk}; free some" in done.stderr
    assert list(small_disk.iterdir()) == []


@pytest.mark.usefixtures("encoder")
def test_a_query_needs_no_folder_for_temporary_files(tmp_path: Path, photo_folder: Path) -> None:
    store, query = str(tmp_path / "vectors.db"), photo_folder / "photo-0003.jpg"
    embed(photo_folder, store, weights="random")
    with longest_file(0):
        done = command("similar", store, query, "-k", "1", "--weights", "random")
    assert (done.returncode, done.stdout) == (0, "1.0000\tphoto-0003.jpg\n"), done.stderr


def test_torch_without_a_folder(tmp_path: Path, cli: Cli) -> None:
    """In a process of its own, which has not imported it yet."""
    (tmp_path / "images").mkdir()
    with longest_file(0):
        unknown = {"XDG_CACHE_HOME": str(tmp_path / "cache")}  # where nothing is known of the model yet
        done = cli("run", "images", "--model", "resnet50", "--weights", "random", env=unknown)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert "and torch needs one" in done.stderr
