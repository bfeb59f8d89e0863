"""Ids as people type them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.embedder.commands import command
from tests.embedder.stored import fill, stored

COMPOSED = "ordner/café.jpg"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@pytest.fixture
def store(tmp_path: Path) -> str:
    name = str(tmp_path / "v.db")
    fill(name, [stored(DECOMPOSED, 1), stored("cats/1.jpg", 2), stored("cats/2.jpg", 3), stored("Dogs/Rex.JPG", 4)])
    return name


def test_an_id_is_found_however_its_characters_are_composed(store: str) -> None:
    assert COMPOSED != DECOMPOSED
    found = command("similar", store, COMPOSED, "-k", "1")
    assert (found.returncode, DECOMPOSED in found.stdout) == (0, True)
    assert command("read", store, COMPOSED, "cats/1.jpg").returncode == 0
    assert command("read", store, DECOMPOSED).returncode == 0


def test_both_forms_may_be_stored_and_the_exact_one_is_meant(store: str, tmp_path: Path) -> None:
    fill(store, [stored(COMPOSED, 5)])
    assert command("read", store, COMPOSED, "--out", tmp_path / "x.npz").returncode == 0
    import numpy as np

    assert np.load(tmp_path / "x.npz")["ids"].tolist() == [COMPOSED]


def test_a_mistyped_id_is_answered_with_those_near_it(store: str) -> None:
    missing = command("read", store, "cats/3.jpg")
    assert missing.returncode == 1
    assert "'cats/3.jpg' is not in" in missing.stderr
    assert "'cats/1.jpg'" in missing.stderr
    other = command("similar", store, "rex.jpg")
    assert other.returncode == 2
    assert "did you mean 'Dogs/Rex.JPG'?" in other.stderr
    nothing = command("similar", store, "zzzzzzzz")
    assert "did you mean" not in nothing.stderr
