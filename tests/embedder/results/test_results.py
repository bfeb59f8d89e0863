"""Functions about stored vectors: what the commands find, as objects that show themselves in a notebook."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import embedder
from embedder import ConfigurationError, duplicates, embed, gallery, info, similar
from tests.cli import ROOT
from tests.embedder.commands import command
from tests.embedder.stand_in import PixelEncoder


@pytest.fixture
def store(photo_folder: Path, tmp_path: Path, encoder: PixelEncoder) -> str:
    """Twelve photographs and a copy of one, one by an odd name."""
    copy = (photo_folder / "photo-0003.jpg").read_bytes()
    (photo_folder / "<script>.jpg").write_bytes(copy)
    embed(photo_folder, tmp_path / "v.db", weights="random")
    assert encoder.opened == 1
    return str(tmp_path / "v.db")


def test_the_api_is_seen_and_costs_nothing_until_it_is_used() -> None:
    assert dir(embedder) == sorted([*embedder.__all__, "__version__"])
    assert {"Embedder", "embed", "read", "similar", "duplicates", "gallery", "info"} <= set(dir(embedder))
    program = (
        "import sys, embedder; before = set(sys.modules); embedder.read; embedder.info; embedder.similar;"
        "print(*[each for each in ('numpy', 'PIL', 'torch', 'boto3') if each in before]);"
        "print(*[each for each in ('jinja2', 'torch', 'boto3') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n\n", "nothing heavy by importing, and no torch by reading"
    for name in embedder.__all__:
        assert getattr(embedder, name).__doc__ or name == "Progress"


def test_similar_takes_an_id_a_file_or_a_picture(store: str, photo_folder: Path, encoder: PixelEncoder) -> None:
    by_id = similar(store, "photo-0003.jpg", 4)
    assert [by_id[0].image_id, by_id[1].image_id, len(by_id)] == ["photo-0003.jpg", "<script>.jpg", 4]
    assert (by_id.stored, by_id.random, encoder.opened) == (True, True, 1)
    told = command("similar", store, "photo-0003.jpg", "-k", "4", "--json")
    assert told.report == by_id.as_json()
    path = photo_folder / "photo-0004.jpg"
    for query in (str(path), path, path.read_bytes(), Image.open(path), np.asarray(Image.open(path))):
        found = similar(store, query, 2, weights="random")
        assert found[0].image_id == "photo-0004.jpg"
        assert found[0].score == pytest.approx(1, abs=1e-5)
        assert not found.stored
    shown = by_id._repr_html_()
    assert shown.count("data:image/webp") == 4
    assert "<script>" not in shown
    assert "cosines mean nothing" in shown
    with pytest.raises(ConfigurationError, match=r"did you mean 'photo-0003\.jpg'"):
        similar(store, "photo-0003.jgp")
    with pytest.raises(ConfigurationError, match="k=0"):
        similar(store, "photo-0003.jpg", 0)


def test_duplicates_are_a_sequence_of_groups(store: str) -> None:
    found = duplicates(store, 0.999)
    assert len(found) == 1
    assert {each.image_id for each in found[0].members} == {"photo-0003.jpg", "<script>.jpg"}
    assert (found.vectors, found.random, list(found) == list(found.groups)) == (13, True, True)
    assert command("duplicates", store, "--threshold", "0.999", "--json").report == found.as_json()
    assert "1 group of 2 images among 13" in repr(found)
    assert "&lt;script&gt;.jpg" in found._repr_html_()
    with pytest.raises(ConfigurationError, match="threshold"):
        duplicates(store, 2)


def test_a_gallery_shows_its_page(store: str, tmp_path: Path) -> None:
    made = gallery(store, tmp_path / "page.html", prefix="photo-")
    assert (made.path, made.images, made.without_picture) == (tmp_path / "page.html", 8, 0)
    frame = made._repr_html_()
    assert frame.startswith('<iframe srcdoc="')
    assert frame.count("<") == 2, "the page is one attribute"
    with pytest.raises(ConfigurationError, match="there is no folder"):
        gallery(store, tmp_path / "nowhere" / "page.html")
    assert info(store).count == 13
