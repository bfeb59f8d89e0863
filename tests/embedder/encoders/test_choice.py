"""Which way to run a network `auto` and `full` take, and what they refuse."""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from embedder.encoders import ENGINES, Arithmetic, Encoder, Engine, choice
from embedder.encoders.prepared import Prepared
from embedder.encoders.proof import UnusableError
from embedder.errors import ConfigurationError
from embedder.models.catalog import RESNET18
from embedder.models.checkpoint import Checkpoint
from embedder.records import Pixels, Vectors

if TYPE_CHECKING:
    from torch import nn

TORCH = next(each for each in ENGINES if each.trusted)


class Rough:
    """Knows the golden pictures' vectors, each a little off across its own direction, and takes its time."""

    arithmetic: Arithmetic = "float32"
    device = "cpu"
    dimension = 512
    lanes = 1
    batch_size = 16

    def __init__(self, name: str, prepared: Prepared, off: float, pause: float) -> None:
        self.engine = name
        self.pause = pause
        exact = prepared.golden()[1]
        across = np.random.default_rng(0).normal(size=exact.shape).astype(np.float32)
        lengths = np.linalg.norm(exact, axis=1, keepdims=True) / np.linalg.norm(across, axis=1, keepdims=True)
        self.vectors: Vectors = exact + off * across * lengths

    def encode(self, pixels: Pixels) -> Vectors:
        time.sleep(self.pause)
        return self.vectors[: len(pixels)]


def engine(name: str, *, off: float = 0.0, pause: float = 0.0) -> Engine:
    def opens(prepared: Prepared, _arithmetic: Arithmetic, _batch_size: int | None) -> Encoder:
        return Rough(name, prepared, off, pause)

    return Engine(name=name, opens=opens)


Enter = Callable[..., None]


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Enters engines in the place of those that there are."""
    before = list(ENGINES)

    def enter(*engines: Engine) -> None:
        ENGINES[:] = engines

    yield enter
    ENGINES[:] = before


@pytest.fixture
def network(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """A network of which nothing is prepared yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return Checkpoint.find(RESNET18, str(weights))


def test_full_precision_limits_the_error_and_auto_the_direction_alone(
    network: Checkpoint, enter: Enter, caplog: pytest.LogCaptureFixture
) -> None:
    enter(engine("rough", off=5e-3), TORCH)
    with caplog.at_level(logging.WARNING, "embedder"):
        assert choice.open_encoder(network, precision="full").engine == "torch"
    assert "rough float32 is passed over" in caplog.text
    assert "relative error of" in caplog.text
    with pytest.raises(UnusableError, match="relative error"):
        choice.open_encoder(network, engine="rough", precision="full")
    assert choice.open_encoder(network, engine="rough").engine == "rough"


def test_another_direction_is_refused_whatever_was_asked_for(network: Checkpoint, enter: Enter) -> None:
    enter(engine("lost", off=3e-2), TORCH)
    assert choice.open_encoder(network).engine == "torch"
    with pytest.raises(UnusableError, match=r"cosine 0\.999[56]\d+, needed 0\.9999"):
        choice.open_encoder(network, engine="lost")


def test_the_fastest_is_taken_and_remembered_for_this_processor(network: Checkpoint, enter: Enter) -> None:
    enter(engine("slow", pause=0.1), engine("fast"), engine("slower", pause=0.2))
    assert choice.open_encoder(network).engine == "fast"
    with Prepared.open(network) as prepared:
        note = prepared.find(choice.REMEMBERED)
    assert note is not None
    kept = json.loads(note.read_text())
    assert (kept["fastest"], set(kept["rates"])) == (
        "fast float32",
        {f"{name} float32" for name in ("slow", "fast", "slower")},
    )

    note.write_text(json.dumps({**kept, "fastest": "slow float32"}))
    assert choice.open_encoder(network).engine == "slow", "what is remembered is not measured again"
    note.write_text(json.dumps({**kept, "here": {**kept["here"], "processor": "another"}, "fastest": "slow float32"}))
    assert choice.open_encoder(network).engine == "fast"
    note.write_text("damaged")
    assert choice.open_encoder(network).engine == "fast"


def test_where_nothing_is_remembered_nothing_is_measured(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enter: Enter
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    network = Checkpoint.find(RESNET18, str(weights))
    enter(engine("lost", off=1.0), engine("first", pause=0.2), engine("fast"))
    assert choice.open_encoder(network).engine == "first"


class Unexportable:
    """A network with an operation that ONNX does not have."""

    name = key = "unexportable"
    dimension = 97
    preprocessing = dataclasses.replace(RESNET18.preprocessing, crop=8)

    def module(self) -> nn.Module:
        import torch
        from torch import nn

        class Spectrum(nn.Module):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return torch.fft.rfft(images.flatten(1)).abs()

        return Spectrum().eval()


@pytest.mark.usefixtures("network")
def test_a_model_that_cannot_be_exported_runs_on_torch_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    needing = {each.engine.name for each in choice.candidates("auto", "cpu", full=True)} - {"torch"}
    assert needing == {"mnn", "openvino"}
    with caplog.at_level(logging.WARNING, "embedder"):
        assert choice.open_encoder(Unexportable(), device="cpu", precision="full").engine == "torch"
    assert len(caplog.records) == 1
    assert "cannot run unexportable here" in caplog.text
    caplog.clear()
    assert choice.open_encoder(Unexportable(), device="cpu", precision="full").engine == "torch"
    assert not caplog.records, "the choice is remembered"
    with pytest.raises(UnusableError, match="--engine torch"):
        choice.open_encoder(Unexportable(), engine="openvino", precision="full")


def test_an_engine_that_breaks_is_passed_over_with_what_it_said(
    network: Checkpoint, enter: Enter, caplog: pytest.LogCaptureFixture
) -> None:
    def breaks(*_: object) -> Encoder:
        raise RuntimeError("no such instruction")

    enter(Engine(name="broken", opens=breaks), engine("sound"))
    with caplog.at_level(logging.WARNING, "embedder"):
        assert choice.open_encoder(network).engine == "sound"
    assert "no such instruction" in caplog.text
    enter(Engine(name="broken", opens=breaks), Engine(name="lost", opens=engine("lost", off=1.0).opens))
    with pytest.raises(ConfigurationError, match="no engine can run resnet18 here"):
        choice.open_encoder(network)


def test_half_precision_is_tried_where_the_processor_computes_in_it() -> None:
    everywhere = choice.candidates("auto", "cpu", full=True)
    assert {each.arithmetic for each in everywhere} == {"float32"}
    assert str(everywhere[-1]) == "torch float32"
    flagged = [each for each in ENGINES if each.device == "cpu" and each.arithmetics.get("bfloat16")]
    assert flagged, "some engine computes in bfloat16 on some processors"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openvino-half", "--precision auto"),
        ("opnvino", r"did you mean openvino\?"),
        ("magic", "expected one of auto, mnn, openvino, torch"),
    ],
)
def test_an_unknown_engine_is_a_sentence(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        choice.check_engine(name)


@pytest.mark.skipif("mnn" not in choice.installed_engines(), reason="its converter, which is the one to test, is MNN's")
def test_a_cache_without_room_keeps_nothing_half_made(
    weights: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNN's converter says nothing of a full disk: its empty file would be found by every later run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(small_disk))
    network = Checkpoint.find(RESNET18, str(weights))
    assert choice.open_encoder(network, engine="mnn", device="cpu").engine == "mnn"
    assert [each for each in small_disk.rglob("*") if each.is_file()] == []
