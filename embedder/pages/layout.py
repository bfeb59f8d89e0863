"""Cells of a grid for the images of a collection, so that those that are alike lie together."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from embedder.records import Vectors

DIRECTIONS = 64
"""How many leading directions of the collection the layout looks at: the others hardly move a picture."""
ASPECT = 1.4
"""Width over height of the grid, give or take a third: that of the screens it is looked at on."""
ROUNDS = 8
"""Steps of the power iteration that finds the direction in which a part varies most."""


def grid(points: Vectors) -> tuple[np.ndarray, int, int]:
    """Lay n points, (n, d), as `leading` gives them, out on a grid without overlap.

    A part is cut in two across the direction in which it varies most. One half gets the left side of the part's
    rectangle and the other the right side, or the upper side and the lower one. So every neighbourhood, however
    small, is laid out by what distinguishes it; a projection of everything on two directions shows only what
    distinguishes the largest parts. Only the last cells of the last row stay empty.

    Returns:
        For each point the number of its cell, row by row, and the grid's columns and rows.
    """
    count = len(points)
    columns, rows = _shape(count)
    cells = np.zeros(count, np.intp)
    first = np.eye(2, points.shape[1])
    waiting = [(np.arange(count), _Box(0, 0, columns, rows), (first[0], first[1]))]
    while waiting:
        part, box, axes = waiting.pop()
        if len(part) == 0:
            continue
        if box.width * box.height == 1:
            cells[part] = box.y * columns + box.x
            continue
        across = box.width < box.height
        direction = _direction(points[part], axes[across])
        order = part[np.argsort(points[part] @ direction, kind="stable")]
        axes = (axes[0], direction) if across else (direction, axes[1])
        one, other = box.halves(across=across)
        room = one.room(columns, count)
        waiting += [(order[:room], one, axes), (order[room:], other, axes)]
    return cells, columns, rows


class _Box(NamedTuple):
    """A rectangle of cells."""

    x: int
    y: int
    width: int
    height: int

    def halves(self, *, across: bool) -> tuple[_Box, _Box]:
        """Cut it into an upper and a lower part, or else into a left and a right one."""
        x, y, width, height = self
        if across:
            return _Box(x, y, width, height // 2), _Box(x, y + height // 2, width, height - height // 2)
        return _Box(x, y, width // 2, height), _Box(x + width // 2, y, width - width // 2, height)

    def room(self, columns: int, count: int) -> int:
        """Count its cells, without those at the grid's end for which there is no image."""
        x, y, width, height = self
        full = min(height, max(0, count // columns - y))
        begun = count % columns if y <= count // columns < y + height else 0
        return full * width + min(width, max(0, begun - x))


def _shape(count: int) -> tuple[int, int]:
    """Choose columns and rows of about ASPECT that leave the fewest cells empty."""
    usual = max(1, math.sqrt(count * ASPECT))
    widths = range(min(math.ceil(usual / 1.15), max(1, count)), math.ceil(usual * 1.15) + 1)
    return min(((width, math.ceil(count / width)) for width in widths), key=lambda shape: shape[0] * shape[1])


def leading(units: Vectors) -> Vectors:
    """Return the coordinates of unit vectors along the directions in which they vary most, (n, at most DIRECTIONS)."""
    if len(units) < 2:
        return np.zeros((len(units), 2), np.float32)
    moved = units - units.mean(axis=0)
    _, directions = np.linalg.eigh(moved.T @ moved)
    found: Vectors = moved @ directions[:, ::-1][:, :DIRECTIONS]
    return found


def _direction(points: Vectors, like: np.ndarray) -> np.ndarray:
    """Find the direction in which points vary most, turned so that it does not oppose `like`."""
    moved = points - points.mean(axis=0)
    spread = moved.T @ moved
    direction = like.astype(np.float64) + 1e-3  # so that it is never orthogonal to all that varies
    for _ in range(ROUNDS):
        direction = spread @ direction
        length = np.linalg.norm(direction)
        if length == 0:
            return like
        direction /= length
    return direction if direction @ like >= 0 else -direction
