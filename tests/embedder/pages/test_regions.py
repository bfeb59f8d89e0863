"""Regions of the map: connected, alike inside, with a picture and a folder to know them by."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from embedder.pages.regions import MOST, regions


def blocks(columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a map whose quarters are each alike, and the cells, in an order of no meaning."""
    cells = np.random.default_rng(0).permutation(columns * rows)
    quarter = (cells % columns >= columns // 2) + 2 * (cells // columns >= rows // 2)
    return np.eye(4)[quarter] + 0.01 * np.random.default_rng(1).normal(size=(len(cells), 4)), cells


def connected(cells: set[int], columns: int) -> bool:
    reached, waiting = set(), [min(cells)]
    while waiting:
        each = waiting.pop()
        if each in cells and each not in reached:
            reached.add(each)
            sides = [each - columns, each + columns]
            waiting += [*sides, *([each - 1] if each % columns else []), *([each + 1] if (each + 1) % columns else [])]
    return reached == cells


def test_what_is_alike_and_lies_together_is_a_region() -> None:
    points, cells = blocks(8, 8)
    quarter = points.argmax(axis=1)
    ids = [f"photos/{'abcd'[quarter[number]]}/{number % 3}/{number}.jpg" for number in range(64)]
    found = regions(points, cells, 8, ids)
    assert len(found) == 4
    assert sorted(each.label for each in found) == ["photos/a/", "photos/b/", "photos/c/", "photos/d/"]
    for each in found:
        assert len(each.images) == 16
        assert len(set(quarter[each.images])) == 1
        assert each.representative in each.images
        inner = (each.cell % 8 % 4 in (1, 2), each.cell // 8 % 4 in (1, 2))
        assert inner == (True, True), "its picture lies in the middle"


def test_a_folder_that_all_share_is_no_label() -> None:
    points, cells = blocks(8, 8)
    assert {each.label for each in regions(points, cells, 8, [f"all/{number}" for number in range(64)])} == {""}
    assert {each.label for each in regions(points, cells, 8, [str(number) for number in range(64)])} == {""}


@settings(max_examples=40)
@given(count=st.integers(1, 400), columns=st.integers(1, 25), seed=st.integers(0, 2**32 - 1))
@example(count=1, columns=1, seed=0)
@example(count=2, columns=2, seed=0)
def test_every_image_is_in_one_region_and_every_region_is_connected(count: int, columns: int, seed: int) -> None:
    columns = min(columns, count)
    chance = np.random.default_rng(seed)
    cells = chance.permutation(count)
    found = regions(chance.normal(size=(count, 3)), cells, columns, [str(number) for number in range(count)])
    assert sorted(image for each in found for image in each.images) == list(range(count))
    assert 1 <= len(found) <= MOST
    for each in found:
        inside = set(cells[each.images].tolist())
        assert connected(inside, columns)
        assert each.cell in inside
    assert [len(each.images) for each in found] == sorted((len(each.images) for each in found), reverse=True)
