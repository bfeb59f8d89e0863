"""The GPU's encoder as far as a CPU can run it: everything but streams, pinned memory and captured graphs."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from embedder.encoders import choice, cuda
from embedder.encoders.choice import LEAST_COSINE_ON_GPU, cosines
from embedder.encoders.cuda import CudaEncoder
from embedder.encoders.prepared import golden_pictures
from embedder.encoders.pytorch import NormalizedBackbone, reference_vectors
from embedder.errors import ConfigurationError
from embedder.models.catalog import RESNET18
from embedder.models.weights import Weights, find_weights

MODEL = RESNET18
PIXELS = golden_pictures(MODEL.preprocessing.crop)[:6]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def chosen(weights: Path) -> Weights:
    return find_weights(str(weights), MODEL)


def test_half_precision_keeps_the_references_vectors_whatever_the_batch(chosen: Weights) -> None:
    expected = reference_vectors(MODEL, chosen, PIXELS)
    encoder = CudaEncoder(MODEL, chosen, batch_size=4, device=DEVICE)
    for count in (1, 4, 6):
        found = encoder.encode(PIXELS[:count])
        assert found.dtype == np.float32
        assert cosines(found, expected[:count]).min() > LEAST_COSINE_ON_GPU


def test_lanes_at_work_at_once_do_not_mix_their_pictures(chosen: Weights) -> None:
    encoder = CudaEncoder(MODEL, chosen, batch_size=2, device=DEVICE)
    alone = {number: encoder.encode(PIXELS[number : number + 2]) for number in range(5)}
    found: dict[int, np.ndarray] = {}

    def encode(number: int) -> None:
        found[number] = encoder.encode(PIXELS[number : number + 2])

    threads = [threading.Thread(target=encode, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, vectors in alone.items():
        assert np.array_equal(found[number], vectors)


def test_a_batch_that_does_not_fit_is_halved(
    chosen: Weights, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A device on which three pictures are too many, as its library says it."""
    forward = NormalizedBackbone.forward

    def limited(self: NormalizedBackbone, images: torch.Tensor) -> torch.Tensor:
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(NormalizedBackbone, "forward", limited)
    encoder = CudaEncoder(MODEL, chosen, batch_size=8, device=DEVICE)
    assert encoder.batch_size == 2
    assert encoder.encode(PIXELS).shape == (6, 512)
    assert "going on with batches of 2" in caplog.text


def test_when_one_picture_does_not_fit_nothing_does(chosen: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(NormalizedBackbone, "forward", full)
    with pytest.raises(ConfigurationError, match="memory does not hold the model and one picture"):
        CudaEncoder(MODEL, chosen, batch_size=2, device=DEVICE)


def test_weights_that_overflow_half_precision_are_computed_in_full(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Past 65,504 half precision knows only infinity."""
    state = torch.load(weights, weights_only=True)
    for name in ("bn1.weight", "bn1.bias", "layer1.0.bn2.weight", "layer1.0.bn2.bias"):
        state[name] *= 1e5
    torch.save(state, tmp_path / "loud.pth")
    loud = find_weights(str(tmp_path / "loud.pth"), RESNET18)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(choice, "_on_cuda", lambda *_: True)
    monkeypatch.setattr(cuda, "CudaEncoder", partial(CudaEncoder, device=DEVICE))
    found = choice.open_encoder(RESNET18, loud, engine="auto", device="auto", batch_size=8).encode(PIXELS)
    assert cosines(found, reference_vectors(RESNET18, loud, PIXELS)).min() > LEAST_COSINE_ON_GPU
    assert "half precision is passed over" in caplog.text
