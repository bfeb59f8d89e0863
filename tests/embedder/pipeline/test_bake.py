"""What an image is built with: caches that are full afterwards, for whichever model was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedder import exit_codes
from embedder.pipeline import bake

SMALL = "shufflenet_v2_x0_5"


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embedder"


def test_another_model_is_made_ready(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bake.main(["random", SMALL]) == exit_codes.DONE
    assert capsys.readouterr().out.startswith(f"baked {SMALL} with random weights; for the engine ")
    (described,) = (cache / "models").glob("*.json")
    assert described.name.startswith(f"{SMALL}-torchvision-")
    made = [path for path in cache.rglob("*") if path.is_file() and path != described]
    assert made, "a first run would have to prepare the model"
    before = {path: path.stat().st_mtime_ns for path in [described, *made]}
    assert bake.main(["random", SMALL]) == exit_codes.DONE
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()} == before


def test_a_model_that_there_is_not_ends_the_build(capsys: pytest.CaptureFixture[str]) -> None:
    assert bake.main(["random", "resnet19"]) == exit_codes.USAGE
    assert "baking: there is no model 'resnet19'" in capsys.readouterr().err
