"""The GPU's encoder as far as a CPU can run it: everything but streams, pinned memory and captured graphs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from embedder.encoders import ENGINES, Arithmetic, Engine, Network
from embedder.encoders.choice import open_encoder
from embedder.encoders.cuda import CudaEncoder
from embedder.encoders.golden import golden_pictures
from embedder.encoders.prepared import Prepared
from embedder.encoders.proof import LEAST_COSINE_ON_GPU, cosines
from embedder.encoders.pytorch import reference_vectors
from embedder.errors import ConfigurationError
from embedder.models.catalog import RESNET18
from embedder.models.checkpoint import Checkpoint
from embedder.records import Preprocessing

PIXELS = golden_pictures(RESNET18.preprocessing.crop)[:6]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="module")
def network(weights: Path) -> Checkpoint:
    return Checkpoint.find(RESNET18, str(weights))


def opened(network: Network, batch_size: int) -> CudaEncoder:
    with Prepared.open(network) as prepared:
        return CudaEncoder(prepared, "float16", batch_size, device=DEVICE)


@dataclass(frozen=True)
class Limited:
    """A network on whose device more than so many pictures are too many, as its library says it."""

    most: int
    said: RuntimeError = field(default_factory=lambda: torch.OutOfMemoryError("CUDA out of memory"))
    name: str = "limited"
    key: str = "limited"
    dimension: int = 512
    preprocessing: Preprocessing = RESNET18.preprocessing

    def module(self) -> nn.Module:
        most, said = self.most, self.said

        class Full(nn.Linear):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                if len(images) > most:
                    raise said
                return super().forward(images.mean((2, 3)))

        return Full(3, 512)


def test_half_precision_keeps_the_references_vectors_whatever_the_batch(network: Checkpoint) -> None:
    expected = reference_vectors(network, PIXELS[:3])
    encoder = opened(network, 2)
    assert encoder.arithmetic == "float16"
    for count in (1, 3):
        found = encoder.encode(PIXELS[:count])
        assert found.dtype == np.float32
        assert cosines(found, expected[:count]).min() > LEAST_COSINE_ON_GPU


def test_lanes_at_work_at_once_do_not_mix_their_pictures() -> None:
    encoder = opened(Limited(2), 2)
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


@pytest.mark.parametrize(
    "said", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")]
)
def test_a_batch_that_does_not_fit_is_halved(said: RuntimeError, caplog: pytest.LogCaptureFixture) -> None:
    encoder = opened(Limited(2, said), 8)
    assert encoder.batch_size == 2
    assert encoder.encode(PIXELS).shape == (6, 512)
    assert "going on with batches of 2" in caplog.text


def test_another_error_is_not_taken_for_a_full_memory() -> None:
    with pytest.raises(RuntimeError, match="illegal memory access"):
        opened(Limited(2, RuntimeError("CUDA error: an illegal memory access was encountered")), 8)


def test_when_one_picture_does_not_fit_nothing_does() -> None:
    with pytest.raises(ConfigurationError, match="memory does not hold the model and one picture"):
        opened(Limited(0), 2)


@pytest.fixture
def only_the_gpu() -> Iterator[None]:
    """Enter the GPU's engine as the only one, on whatever device there is."""
    before = list(ENGINES)

    def opens(prepared: Prepared, arithmetic: Arithmetic, batch_size: int | None) -> CudaEncoder:
        return CudaEncoder(prepared, arithmetic, batch_size, device=DEVICE)

    ENGINES[:] = [Engine(name="torch", opens=opens, arithmetics={"float16": frozenset(), "float32": frozenset()})]
    yield
    ENGINES[:] = before


@dataclass(frozen=True)
class Loud:
    """A network whose vectors are small and whose numbers on the way pass 65,504, where half precision ends."""

    name: str = "loud"
    key: str = "loud"
    dimension: int = 512
    preprocessing: Preprocessing = RESNET18.preprocessing

    def module(self) -> nn.Module:
        class Loudly(nn.Linear):
            def forward(self, images: torch.Tensor) -> torch.Tensor:
                return super().forward(images.mean((2, 3)) * 1e6) * 1e-6

        torch.manual_seed(0)
        return Loudly(3, 512)


@pytest.mark.usefixtures("only_the_gpu")
def test_weights_that_overflow_half_precision_are_computed_in_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encoder = open_encoder(Loud(), batch_size=8)
    assert encoder.arithmetic == "float32"
    found = encoder.encode(PIXELS)
    assert cosines(found, reference_vectors(Loud(), PIXELS)).min() > LEAST_COSINE_ON_GPU
    assert "torch float16 is passed over" in caplog.text
