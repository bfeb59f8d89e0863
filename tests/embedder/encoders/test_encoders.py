"""What every engine does, whichever it is: rows in, rows out, and the reference's vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from embedder.encoders import ENGINES, Arithmetic, Encoder
from embedder.encoders.choice import installed_engines, open_encoder
from embedder.encoders.prepared import Prepared
from embedder.errors import ConfigurationError
from embedder.models.catalog import RESNET18
from embedder.models.checkpoint import Checkpoint
from tests.embedder import reference
from tests.photographs import variation

MODEL = RESNET18


@pytest.fixture(scope="module", params=installed_engines())
def engine(request: pytest.FixtureRequest) -> Encoder:
    network = Checkpoint.find(MODEL, str(request.getfixturevalue("weights")))
    return open_encoder(network, engine=request.param, device="cpu", precision="full")


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.stack([np.asarray(variation(seed).resize((224, 224))) for seed in range(5)])


def expected(pixels: np.ndarray, weights: Path) -> reference.Vector:
    """The eager model's vector of a picture that is cropped already."""
    mean, std = torch.tensor(reference.PRESET.mean), torch.tensor(reference.PRESET.std)
    image = ((torch.from_numpy(pixels.copy()).float() / 255 - mean) / std).permute(2, 0, 1)
    return reference.model_vector(image, weights)


def test_each_row_is_its_pictures_vector_whatever_the_batch(engine: Encoder, pixels: np.ndarray, weights: Path) -> None:
    wanted = [expected(each, weights) for each in pixels]
    for rows in ([0], [1, 2, 3, 4, 0], [2, 0, 1], [4], list(range(5)) * 4):
        found = engine.encode(pixels[rows])
        assert found.shape == (len(rows), 512)
        assert found.dtype == np.float32
        for row, number in zip(found, rows, strict=True):
            assert reference.relative_error(row, wanted[number]) < 1e-3
            assert reference.cosine(row, wanted[number]) > 0.99999


def test_what_was_returned_stays_what_it_is(engine: Encoder, pixels: np.ndarray) -> None:
    first = engine.encode(pixels[:2])
    kept = first.copy()
    engine.encode(pixels[2:4])
    assert np.array_equal(first, kept)


def test_pictures_are_told_apart(engine: Encoder, pixels: np.ndarray) -> None:
    first, second, *_ = engine.encode(pixels)
    assert reference.cosine(first, second) < 0.99


def test_the_pixels_are_left_as_they_were(engine: Encoder, pixels: np.ndarray) -> None:
    before = pixels.copy()
    engine.encode(pixels)
    assert np.array_equal(pixels, before)


def test_what_it_says_of_itself(engine: Encoder) -> None:
    assert engine.engine in installed_engines()
    assert (engine.device, engine.arithmetic, engine.dimension) == ("cpu", "float32", 512)
    assert engine.batch_size >= 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_a_device_that_is_not_there_is_refused(weights: Path) -> None:
    with pytest.raises(ConfigurationError, match="--device cuda: torch finds no CUDA device"):
        open_encoder(Checkpoint.find(MODEL, str(weights)), engine="torch", precision="full", device="cuda")


HALVES = [
    (engine.name, arithmetic)
    for engine in ENGINES
    if engine.device == "cpu" and engine.installed
    for arithmetic in engine.arithmetics
    if arithmetic.startswith("bfloat16")
]


@pytest.mark.parametrize(("name", "arithmetic"), HALVES)
def test_half_precision_keeps_the_direction(
    name: str, arithmetic: Arithmetic, pixels: np.ndarray, plain_weights: Path
) -> None:
    """On every processor: one without instructions for it computes the same numbers, only more slowly."""
    engine = next(each for each in ENGINES if each.name == name and each.device == "cpu")
    with Prepared.open(Checkpoint.find(MODEL, str(plain_weights))) as prepared:
        half = engine.open(prepared, arithmetic, None)
    assert half.arithmetic == arithmetic
    for row, picture in zip(half.encode(pixels), pixels, strict=True):
        assert reference.cosine(row, expected(picture, plain_weights)) > 0.9999
