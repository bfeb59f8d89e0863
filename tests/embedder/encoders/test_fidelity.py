"""Every vector is the one that torchvision's own preset and eager model give for the upright RGB picture."""

from __future__ import annotations

import itertools
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedder import embed, read
from embedder.decoding.decoder import Decoder
from embedder.encoders.choice import installed_engines
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS
from tests.embedder import corpus, reference
from tests.embedder.pictures import encoded

ENGINES = installed_engines()
COSINE = 0.9999
RELATIVE_ERROR = 1e-3
SOME = ("exif-6.jpg", "cmyk.jpg", "16-bit.png", "palette-alphas.png", "hidden.png", "animated.gif", "tall.png")


@cache  # whoever asks for the same file again means the same content: folders of this file are never reused
def wanted(path: Path, weights: Path) -> reference.Vector:
    return reference.vector(reference.upright(path), weights)


def check(folder: Path, weights: Path, found: dict[str, reference.Vector], *, full_scale: bool = True) -> None:
    """Compare every vector with its reference, and name all that differ."""
    wrong = {}
    for name, vector in found.items():
        expected = wanted(folder / name, weights)
        cosine, error = reference.cosine(vector, expected), reference.relative_error(vector, expected)
        print(f"{name}: cosine {cosine:.7f}, relative error {error:.1e}")
        if cosine < COSINE or (full_scale and error > RELATIVE_ERROR):
            wrong[name] = f"cosine {cosine:.6f}, relative error {error:.1e}"
    assert not wrong


def embedded(source: Path, store: Path, weights: Path, **options: Any) -> dict[str, reference.Vector]:
    report = embed(
        source, store, **{"weights": weights, "device": "cpu", "engine": "torch", "precision": "full", **options}
    )
    assert (report.failed, report.exit_code) == (0, 0), report.first_failures
    ids, vectors = read(str(store))
    assert len(ids) == report.embedded
    return dict(zip(ids, vectors, strict=True))


def test_photographs(photographs: list[Path], weights: Path, tmp_path: Path) -> None:
    """With all engines in one test, since what the reference computes is the most expensive part.

    Every other photograph; the default, below, has the others.
    """
    folder = tmp_path / "photographs"
    folder.mkdir()
    photographs = photographs[1::2]
    for path in photographs:
        shutil.copyfile(path, folder / path.name)
    for engine in ENGINES:
        found = embedded(folder, tmp_path / f"{engine}.db", weights, engine=engine)
        assert set(found) == {path.name for path in photographs}
        check(folder, weights, found)


def test_the_default_keeps_the_direction(photographs: list[Path], plain_weights: Path, tmp_path: Path) -> None:
    """Whatever `--precision auto` takes on this processor: its engine, its arithmetic and its resizer together."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    for path in photographs[::2]:
        shutil.copyfile(path, folder / path.name)
    found = embedded(folder, tmp_path / "vectors.db", plain_weights, engine="auto", precision="auto")
    assert set(found) == {path.name for path in photographs[::2]}
    check(folder, plain_weights, found, full_scale=False)


@pytest.mark.slow
def test_every_mode_and_format(weights: Path, tmp_path: Path) -> None:
    """With one engine: what decoding gives is the same for all."""
    folder = tmp_path / "made"
    folder.mkdir()
    for name, make in corpus.MADE.items():
        (folder / name).write_bytes(make())
    found = embedded(folder, tmp_path / "vectors.db", weights)
    assert set(found) == set(corpus.MADE)
    check(folder, weights, found)


def test_large_jpegs_at_a_reduced_scale(plain_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "large"
    folder.mkdir()
    for name, make in corpus.LARGE.items():
        (folder / name).write_bytes(make())
    found = embedded(folder, tmp_path / "vectors.db", plain_weights, workers=1)
    assert set(found) == set(corpus.LARGE)
    check(folder, plain_weights, found, full_scale=False)


@pytest.mark.parametrize("name", corpus.LARGE)
def test_a_reduced_scale_changes_no_more_than_rounding(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(corpus.LARGE[name]())
    ours = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS).decode(path.read_bytes()).pixels
    difference = ours.astype(float) - reference.pixels(reference.upright(path))
    # Rounding two equal pictures that differ by noise far below a level gives 0.41 at the most.
    assert np.sqrt((difference**2).mean()) < 0.41
    assert abs(difference.mean()) < 0.1


@pytest.mark.slow
def test_the_largest_jpegs_at_a_quarter(plain_weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "huge"
    folder.mkdir()
    (folder / "huge.jpg").write_bytes(encoded(corpus.mosaic(8100, 7700), "JPEG", quality=90))
    check(folder, plain_weights, embedded(folder, tmp_path / "vectors.db", plain_weights), full_scale=False)


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pictures that differ in kind, size and decoding time."""
    folder = tmp_path_factory.mktemp("some")
    for name in SOME:
        (folder / name).write_bytes(corpus.MADE[name]())
    return folder


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch_size", [3, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 16))])
def test_the_batch_size_makes_no_difference(
    engine: str, batch_size: int, some: Path, weights: Path, tmp_path: Path
) -> None:
    found = embedded(some, tmp_path / "vectors.db", weights, batch_size=batch_size, engine=engine)
    assert set(found) == set(SOME)
    check(some, weights, found)


numbers = itertools.count()


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(SOME), batch_size=st.sampled_from([1, 3, 16]), workers=st.integers(1, 4))
def test_the_position_in_the_batch_makes_no_difference(
    order: list[str], batch_size: int, workers: int, some: Path, weights: Path, tmp_path: Path
) -> None:
    shard = some / f"order-{next(numbers)}.jsonl"
    shard.write_text("".join(json.dumps({"key": name}) + "\n" for name in order))
    store = tmp_path / f"{shard.stem}.db"
    check(some, weights, embedded(shard, store, weights, batch_size=batch_size, workers=workers))


def test_normalised_vectors_have_length_one_and_the_same_direction(some: Path, weights: Path, tmp_path: Path) -> None:
    store = tmp_path / "vectors.db"
    embed(some, store, weights=weights, engine="torch", precision="full", normalize=True)
    for name, vector in zip(*read(str(store)), strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
        assert reference.cosine(vector, wanted(some / name, weights)) >= COSINE


def test_half_precision_is_the_same_vector_rounded(some: Path, weights: Path, tmp_path: Path) -> None:
    store = tmp_path / "vectors.db"
    embed(some, store, weights=weights, engine="torch", precision="full", dtype="float16")
    ids, vectors = read(str(store))
    assert vectors.shape == (len(SOME), 512)
    assert vectors.dtype == np.float16
    for name, vector in zip(ids, vectors, strict=True):
        expected = wanted(some / name, weights)
        assert reference.relative_error(vector, expected) < 2e-3
