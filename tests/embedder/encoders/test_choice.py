"""Which engine `auto` takes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from embedder.encoders import choice
from embedder.models.catalog import RESNET18
from embedder.models.weights import find_weights


def test_an_engine_that_nobody_named_is_as_exact_as_float32(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing allowed, no engine but the reference itself is left; one that is named is still taken."""
    fast = choice.installed_engines()[:-1]
    chosen = find_weights(str(weights), RESNET18)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "LARGEST_ERROR", 1e-12)
    with caplog.at_level(logging.WARNING, "embedder"):
        assert choice.open_encoder(RESNET18, chosen, engine="auto", device="cpu").engine == "torch"
    for engine in fast:
        assert f"the engine {engine} has a relative error of" in caplog.text
        assert choice.open_encoder(RESNET18, chosen, engine=engine, device="cpu").engine == engine


@pytest.mark.skipif("mnn" not in choice.installed_engines(), reason="its converter, which is the one to test, is MNN's")
def test_a_cache_without_room_keeps_nothing_half_made(
    weights: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNN's converter says nothing of a full disk: its empty file would be found by every later run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    chosen = find_weights(str(weights), RESNET18)
    assert choice.open_encoder(RESNET18, chosen, engine="mnn", device="cpu").engine == "mnn"
    assert [each for each in small_disk.rglob("*") if each.is_file()] == []
