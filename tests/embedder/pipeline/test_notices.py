"""Files with damage: what touches no pixel is noted, and what is left of the others is embedded where that is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedder import embed, read
from tests.embedder.commands import command
from tests.embedder.pictures import jpeg

pytestmark = pytest.mark.usefixtures("encoder")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole JPEG, the same without its end marker, and one that is cut off."""
    path = tmp_path / "images"
    path.mkdir()
    whole = jpeg(3, (300, 300))
    (path / "whole.jpg").write_bytes(whole)
    (path / "no-end.jpg").write_bytes(whole[:-2])
    (path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return path


def test_damage_that_touches_no_pixel_is_noted(folder: Path, tmp_path: Path) -> None:
    notices, store = tmp_path / "notices.jsonl", tmp_path / "v.db"
    report = embed(folder, store, weights="random", notices=notices)
    assert (report.embedded, report.failed, report.damaged) == (2, 1, 0)
    assert report.failures_by_cause == {"decode: Corrupt": 1}
    assert report.notices == {"NoEndMarker": 1}
    (line,) = map(json.loads, notices.read_text().splitlines())
    assert (line["image_id"], line["notice"], len(line["etag"])) == ("no-end.jpg", "NoEndMarker", 32)
    _, vectors = read(store)
    assert (vectors[0] == vectors[1]).all()


def test_what_is_left_of_a_damaged_image_is_embedded_on_request(folder: Path, tmp_path: Path) -> None:
    done = command("run", folder, "--store", tmp_path / "v.db", "--weights", "random", "--damaged", "embed")
    assert done.returncode == 0
    assert "3 embedded" in done.stdout
    assert "1 Damaged" in done.stdout
    ids, vectors = read(tmp_path / "v.db")
    assert ids == ["cut.jpg", "no-end.jpg", "whole.jpg"]
    assert not (vectors[0] == vectors[2]).all()


def test_notices_that_cannot_be_written_are_a_sentence(folder: Path, tmp_path: Path) -> None:
    done = command("run", folder, "--store", tmp_path / "v.db", "--weights", "random", "--notices", tmp_path / "x/y")
    assert done.returncode == 2
    assert "--notices" in done.stderr
    assert not (tmp_path / "v.db").exists()
