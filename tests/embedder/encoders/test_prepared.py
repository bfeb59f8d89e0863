"""Where the prepared model is kept, and what happens where nothing can be."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from embedder.encoders.prepared import Prepared
from embedder.errors import ConfigurationError, TransientError
from embedder.models.catalog import find_model
from embedder.models.checkpoint import Checkpoint
from tests.embedder.limits import longest_file

if TYPE_CHECKING:
    from torch import nn

NETWORK = Checkpoint.find(find_model("resnet18"), "random")


class Tiny:
    """A network that costs nothing."""

    name = key = "tiny"
    dimension = 512
    preprocessing = dataclasses.replace(find_model("resnet18").preprocessing, crop=8)

    def module(self) -> nn.Module:
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, self.dimension)).eval()


def write(path: Path) -> None:
    path.write_text("made")


def write_much(path: Path) -> None:
    path.write_bytes(bytes(1 << 20))


def refuse(path: Path) -> None:
    pytest.fail(f"{path} was there already")


def test_what_is_made_is_found_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Prepared.open(NETWORK) as prepared:
        assert prepared.find("it") is None
        path = prepared.file("it", write)
        assert prepared.keeps
    assert tmp_path in path.parents
    with Prepared.open(NETWORK) as prepared:
        assert prepared.file("it", refuse) == prepared.find("it") == path


def test_a_cache_that_cannot_be_written_is_still_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with Prepared.open(NETWORK) as prepared:
        kept = prepared.file("it", write)
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with Prepared.open(NETWORK) as prepared:
        assert prepared.file("it", refuse) == kept
        passing = prepared.file("other", write)
        assert passing.exists()
        assert tmp_path not in passing.parents or passing.parent != kept.parent
    assert not passing.exists()


def test_a_cache_without_room_is_left_for_a_passing_folder(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    with Prepared.open(NETWORK) as prepared:
        small = prepared.file("small", write)

        def write_two(path: Path) -> None:
            prepared.file("first", write_much)
            write_much(path)

        passing = prepared.file("large", write_two)
        assert passing.stat().st_size == 1 << 20
        assert not prepared.keeps, "and so the choice of an engine is not remembered"
        assert prepared.file("small", refuse) == small
        assert prepared.file("other", write).parent == passing.parent
    assert not passing.exists()
    assert [each for each in small_disk.rglob("*") if each.is_file()] == [small]


def test_nowhere_to_write_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    said = "no folder .* can be written, and resnet18, whose cache cannot be written, needs one; .*--tmpfs /tmp"
    with longest_file(0), Prepared.open(NETWORK) as prepared, pytest.raises(ConfigurationError, match=said):
        prepared.file("it", write)


def test_a_full_disk_is_noticed_by_the_reference_s_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy's own errors do not say that a disk is full."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    said = "no space left for temporary files"
    with longest_file(4096), pytest.raises(TransientError, match=said), Prepared.open(Tiny()) as prepared:
        prepared.golden()
    with Prepared.open(Tiny()) as prepared:
        assert prepared.golden()[1].nbytes > 4096
