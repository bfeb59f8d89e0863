"""`--metadata`: what a run stores about each image's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedder import embed
from embedder.records import METADATA_ATTRIBUTES, StoredVector
from tests.embedder.decoding.test_exif import photograph
from tests.embedder.stored import contents


def metadata(vector: StoredVector) -> tuple[object, ...]:
    return tuple(getattr(vector, each.field) for each in METADATA_ATTRIBUTES)


@pytest.mark.usefixtures("encoder")
def test_metadata_is_stored_when_it_is_asked_for_and_unchanged_images_stay(tmp_path: Path, store_name: str) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    data = photograph("2024:05:01 12:30:00", "+02:00")
    (photos / "old.jpg").write_bytes(data)
    report = embed(photos, store_name, weights="random")
    assert (report.embedded, metadata(contents(store_name)["old.jpg"])) == (1, (None,) * 5)
    (photos / "new.png").write_bytes(photograph("yesterday", kind="PNG"))
    report = embed(photos, store_name, weights="random", metadata=True)
    assert (report.embedded, report.skipped) == (1, 1)
    found = contents(store_name)
    assert metadata(found["old.jpg"]) == (None,) * 5, "an unchanged image is skipped as it is"
    assert metadata(found["new.png"]) == (12, 20, (photos / "new.png").stat().st_size, "PNG", None)
    vector = found["old.jpg"].vector
    embed(photos, store_name, weights="random", metadata=True, recompute=True)
    filled = contents(store_name)["old.jpg"]
    assert metadata(filled) == (12, 20, len(data), "JPEG", "2024-05-01T12:30:00+02:00")
    assert filled.vector == vector
    (photos / "old.jpg").rename(photos / "moved.jpg")
    photos.rename(tmp_path / "archive")
    assert embed(tmp_path / "archive", store_name, weights="random").moved == 1
    assert metadata(contents(store_name)["new.png"])[:2] == (12, 20), "a moved image keeps its own"
