"""Cells of the map: one for each image, few empty ones, and images that are alike close to each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedder.pages import layout
from embedder.vectors.search import unit


def grid(units: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Lay vectors out as a page does."""
    return layout.grid(layout.leading(units))


def directions(count: int, dimension: int, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dimension)))


def square(cells: np.ndarray, columns: int) -> np.ndarray:
    """Column and row of each cell, (n, 2)."""
    return np.column_stack([cells % columns, cells // columns])


@given(
    count=st.integers(0, 300),
    dimension=st.integers(1, 80),
    kinds=st.integers(1, 300),
    seed=st.integers(0, 2**32 - 1),
)
@example(count=0, dimension=4, kinds=1, seed=0)
@example(count=1, dimension=1, kinds=1, seed=0)
@example(count=300, dimension=64, kinds=1, seed=0)
def test_every_image_has_a_cell_of_its_own(count: int, dimension: int, kinds: int, seed: int) -> None:
    chance = np.random.default_rng(seed)
    cells, columns, rows = grid(directions(kinds, dimension, seed)[chance.integers(0, kinds, count)])
    assert len(cells) == len(set(cells.tolist())) == count
    assert sorted(cells.tolist()) == list(range(count)), "only the end of the last row is empty"
    assert columns * rows - count < max(columns, 1)


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (2, (2, 1)), (3, (3, 1)), (6, (3, 2)), (71_180, (277, 257))])
def test_the_whole_is_wider_than_high(count: int, shape: tuple[int, int]) -> None:
    assert grid(np.ones((count, 1), np.float32))[1:] == shape


@pytest.mark.parametrize("count", range(50, 2000, 61))
def test_its_shape_is_that_of_a_screen(count: int) -> None:
    _, columns, rows = grid(np.ones((count, 1), np.float32))
    assert 1 < columns / rows <= 2


def test_no_image_one_and_two() -> None:
    units = directions(2, 512)
    assert grid(units[:0])[0].tolist() == []
    assert grid(units[:1])[0].tolist() == [0]
    assert sorted(grid(units)[0].tolist()) == [0, 1]
    assert grid(units)[0].tolist() == grid(units[::-1])[0].tolist()[::-1]


@pytest.mark.parametrize("vector", [[0, 0, 0], [1, 0, 0]], ids=["zeros", "one direction"])
def test_copies_keep_their_order(vector: list[float]) -> None:
    assert grid(np.array([vector] * 6, np.float32))[0].tolist() == [0, 3, 1, 4, 2, 5]


def test_clusters_lie_in_quarters() -> None:
    """Two that are alike above or beside each other, those that are not in the opposite half."""
    chance = np.random.default_rng(1)
    halves = np.zeros((4, 16))
    halves[:2, 0], halves[2:, 1] = 1, 1  # two far apart …
    halves[[0, 2], 2], halves[[1, 3], 3] = 0.4, 0.4  # … each of two parts
    names = np.repeat(np.arange(4), 48)
    cells, columns, _rows = grid(unit(halves[names] + 0.01 * chance.normal(size=(192, 16))))
    places = square(cells, columns)
    boxes = [(places[names == each].min(axis=0), places[names == each].max(axis=0)) for each in range(4)]
    for low, high in boxes:
        assert np.prod(high - low + 1) == 48, "a part fills a rectangle, without one of another"
    middles = np.array([places[names == each].mean(axis=0) for each in range(4)])
    left = middles[:, 0] < middles[:, 0].mean()
    assert left.tolist() in ([True, True, False, False], [False, False, True, True])


def test_neighbours_on_a_circle_are_neighbours_on_the_map() -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    cells, columns, rows = grid(np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32))
    places = square(cells, columns)
    steps = np.linalg.norm(places - np.roll(places, 1, axis=0), axis=1)
    by_chance = np.linalg.norm(places - np.random.default_rng(0).permutation(places), axis=1)
    assert steps.mean() < 0.25 * by_chance.mean()
    assert columns * rows < 400 + columns


def test_the_same_images_have_the_same_places() -> None:
    units = directions(100, 64)
    assert np.array_equal(grid(units)[0], grid(units.copy())[0])
