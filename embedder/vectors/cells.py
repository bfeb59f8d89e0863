"""Pairs of alike vectors among those that share a cell of an index, so that most others are never compared."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from embedder.records import Vectors
from embedder.system.steps import Advance

MOST = 2048
"""Rows of each side that are compared at once."""


def pairs_in_cells(
    rows: Vectors, lengths: np.ndarray, usable: np.ndarray, cells: np.ndarray, least: float, advance: Advance
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of rows' numbers whose cosine in float32 is `least` or more.

    Args:
        rows: (n, dimension) float32.
        lengths: of the rows, (n,).
        usable: the numbers of the rows to compare; none is zero.
        cells: of each row, (n, cells), the nearest first. A pair is met where the first cell of one is among the
            cells of the other.
    """
    width = cells.shape[1]
    own = cells[usable].ravel()
    order = np.argsort(own, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(own[order]) > 0])
    for part in np.split(order, starts[1:]):
        members = usable[part // width]
        first = np.flatnonzero(part % width == 0)
        units = [(rows[each] / lengths[each, None]).astype(np.float32) for each in _pieces(members)]
        for heads in _pieces(first):
            ours = members[heads]
            left = (rows[ours] / lengths[ours, None]).astype(np.float32)
            for theirs, right in zip(_pieces(members), units, strict=True):
                # Of a flat view: numpy's search in two dimensions takes several times as long.
                one, other = np.divmod(np.flatnonzero(left @ right.T >= least), len(right))
                apart = ours[one] != theirs[other]
                yield ours[one[apart]], theirs[other[apart]]
        advance(len(first))


def _pieces(numbers: np.ndarray) -> list[np.ndarray]:
    return [numbers[start : start + MOST] for start in range(0, len(numbers), MOST)]
