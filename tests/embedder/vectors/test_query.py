"""A query that is not stored is embedded as the store's own vectors were, or refused with what to pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedder import embed
from tests.embedder.commands import command
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import fill, stored
from tests.parts.s3 import S3


@pytest.mark.usefixtures("encoder")
def test_a_file_finds_itself(tmp_path: Path, photo_folder: Path) -> None:
    store = str(tmp_path / "vectors.db")
    embed(photo_folder, store, weights="random", normalize=True, dtype="float16")
    copy = tmp_path / "copy.jpg"
    copy.write_bytes((photo_folder / "photo-0003.jpg").read_bytes())
    page = tmp_path / "page.html"
    found = command("similar", store, copy, "--weights", "random", "-k", "4", "--json", "--html", page)
    assert found.returncode == 0, found.stderr
    assert found.report["matches"][0]["image_id"] == "photo-0003.jpg"
    assert found.report["matches"][0]["score"] == pytest.approx(1, abs=2e-3)
    assert len(found.report["matches"]) == 4
    assert 'class="query"' in page.read_text(encoding="utf-8")


def test_an_object_finds_itself_and_pictures_come_from_s3(
    moto_bucket: S3, encoder: PixelEncoder, tmp_path: Path, photo_folder: Path
) -> None:
    moto_bucket.put({f"some/{each.name}": each.read_bytes() for each in sorted(photo_folder.glob("*.jpg"))[:3]})
    store, page = str(tmp_path / "vectors.db"), tmp_path / "page.html"
    embed(f"s3://{moto_bucket.bucket}/some/", store, weights="random")
    query = f"s3://{moto_bucket.bucket}/some/photo-0001.jpg"
    found = command("similar", store, query, "--weights", "random", "--json", "--html", page)
    assert found.returncode == 0, found.stderr
    assert found.report["matches"][0] == {"image_id": "some/photo-0001.jpg", "score": pytest.approx(1, abs=1e-5)}
    assert page.read_text(encoding="utf-8").count("data:image/webp") == 4
    assert encoder.opened == 2


@pytest.mark.parametrize(
    ("fingerprint", "said"),
    [
        ("resnet18/random/pre1/float32", "pass --weights random"),
        ("resnet18/01234567/pre1/float32", "pass --weights PATH, the state dict whose SHA-256 begins with 01234567"),
        ("resnet18/f37072fd/pre0/float32", "use the versions of embedder and Pillow that made"),
        ("nosuchmodel/01234567/pre1/float32", "there is no model"),
        ("", "an unknown model"),
    ],
)
def test_another_model_is_refused_with_what_to_pass(
    tmp_path: Path, photo_folder: Path, fingerprint: str, said: str
) -> None:
    store = str(tmp_path / "vectors.db")
    fill(store, [stored("a", fingerprint=fingerprint)])
    done = command("similar", store, photo_folder / "photo-0000.jpg")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""


@pytest.mark.usefixtures("encoder")
def test_a_folder_and_a_broken_file_are_no_query(tmp_path: Path, photo_folder: Path) -> None:
    store, broken = str(tmp_path / "vectors.db"), tmp_path / "broken.jpg"
    fill(store, [stored("a")])
    broken.write_bytes(b"not an image")
    folder = command("similar", store, photo_folder, "--weights", "random")
    assert folder.returncode == 2
    assert "is a folder; a query is one image" in folder.stderr
    bad = command("similar", store, broken, "--weights", "random")
    assert bad.returncode == 2
    assert "not an image" in bad.stderr
