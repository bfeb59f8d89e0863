"""Swaps on the map: near-duplicates touch, and most images touch the one that is most like them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embedder.pages import layout
from embedder.pages.refinement import refine
from embedder.vectors.search import neighbours, unit

PAIRS = 18


def collection(count: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Vectors in sixty overlapping clusters, and the pairs of near-duplicates planted among them."""
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(60, 24))
    vectors = centres[chance.integers(0, 60, count)] + 0.9 * chance.normal(size=(count, 24)) + 1
    pairs = [(41 * number + 5, count - 1 - number) for number in range(PAIRS)]
    for one, other in pairs:
        vectors[other] = vectors[one] + 0.12 * chance.normal(size=24)
    return unit(vectors), pairs


def touching(cells: np.ndarray, columns: int, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Whether two images lie side by side or corner to corner."""
    x, y = cells % columns, cells // columns
    near: np.ndarray = np.maximum(abs(x[ones] - x[others]), abs(y[ones] - y[others])) <= 1
    return near


def test_near_duplicates_touch_and_most_images_touch_their_nearest_neighbour() -> None:
    units, pairs = collection(893)
    ones, others = np.array(pairs).T
    near, scores = neighbours(units, 12)
    cells, columns, _rows = layout.grid(layout.leading(units))
    everything = np.arange(len(units))
    assert touching(cells, columns, everything, near[:, 0]).mean() < 0.35
    moved = refine(cells, columns, near, scores)
    assert touching(moved, columns, ones, others).sum() == PAIRS
    assert touching(moved, columns, everything, near[:, 0]).mean() > 0.75
    assert np.array_equal(np.sort(moved), np.sort(cells)), "the same cells are in use"
    assert np.array_equal(moved, refine(cells, columns, near, scores)), "the same images have the same places"


@settings(max_examples=25)
@given(count=st.integers(0, 60), kinds=st.integers(1, 60), seed=st.integers(0, 2**32 - 1))
@example(count=1, kinds=1, seed=0)
@example(count=2, kinds=1, seed=0)
@example(count=60, kinds=1, seed=0)
def test_every_image_keeps_a_cell_of_its_own(count: int, kinds: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    units = unit(chance.normal(size=(kinds, 8)))[chance.integers(0, kinds, count)]
    near, scores = neighbours(units, 12)
    cells, columns, _rows = layout.grid(layout.leading(units))
    assert sorted(refine(cells, columns, near, scores).tolist()) == sorted(cells.tolist())


@pytest.mark.parametrize("spread", [0.1, 0.01])
def test_vectors_that_are_nearly_equal_are_laid_out_as_well(spread: float) -> None:
    """As those of random weights are, whose cosines are all close to 1."""
    units, _ = collection(893)
    close = unit(1 + spread * units[:300])
    near, scores = neighbours(close, 12)
    cells, columns, _rows = layout.grid(layout.leading(close))
    moved = refine(cells, columns, near, scores)
    assert touching(moved, columns, np.arange(300), near[:, 0]).mean() > 0.6
