"""Places on a grid for a collection's images, so that what is alike lies together."""

from __future__ import annotations

import math

import numpy as np

from embedder.records import Vectors

DIRECTIONS = 64
"""Leading directions of the whole collection in which it is laid out: the rest hardly moves a picture."""
ASPECT = 1.4
"""Width over height of the whole, give or take a third: as of the screens it is looked at on."""
ROUNDS = 8
"""Of the power iteration that finds the direction in which a part varies most."""


def grid(units: Vectors) -> tuple[np.ndarray, int, int]:
    """Lay n unit vectors, (n, dimension), out on a grid without overlap.

    A part is cut in two across the direction in which it varies most, and the halves get the left and the right
    half of its rectangle, or the upper and the lower one: so every neighbourhood, however small, is laid out by
    what sets it apart, where a plain projection on two directions shows only what sets the whole apart.

    Returns:
        For each vector the number of its cell, row by row, and the grid's columns and rows.
    """
    count = len(units)
    columns, rows = _shape(count)
    cells = np.zeros(count, np.intp)
    points = _leading(units)
    first = np.eye(2, points.shape[1])
    waiting = [(np.arange(count), 0, 0, columns, rows, (first[0], first[1]))]
    while waiting:
        part, x, y, width, height, axes = waiting.pop()
        if len(part) == 0:
            continue
        if width * height == 1:
            cells[part] = y * columns + x
            continue
        across = width < height
        direction = _direction(points[part], axes[across])
        order = part[np.argsort(points[part] @ direction, kind="stable")]
        axes = (axes[0], direction) if across else (direction, axes[1])
        whole = height if across else width
        half = whole // 2
        room, rest = width * height * half // whole, width * height * (whole - half) // whole
        cut = min(room, max(len(part) - rest, round(len(part) * half / whole)))
        if across:
            waiting.append((order[:cut], x, y, width, half, axes))
            waiting.append((order[cut:], x, y + half, width, height - half, axes))
        else:
            waiting.append((order[:cut], x, y, half, height, axes))
            waiting.append((order[cut:], x + half, y, width - half, height, axes))
    return cells, columns, rows


def _shape(count: int) -> tuple[int, int]:
    """Columns and rows of about ASPECT, those that leave the fewest cells empty."""
    usual = max(1, math.sqrt(count * ASPECT))
    widths = range(min(math.ceil(usual / 1.15), max(1, count)), math.ceil(usual * 1.15) + 1)
    return min(((width, math.ceil(count / width)) for width in widths), key=lambda shape: shape[0] * shape[1])


def _leading(units: Vectors) -> Vectors:
    """Coordinates along the directions in which the collection varies most, (n, at most DIRECTIONS)."""
    if len(units) < 2:
        return np.zeros((len(units), 2), np.float32)
    moved = units - units.mean(axis=0)
    _, directions = np.linalg.eigh(moved.T @ moved)
    found: Vectors = moved @ directions[:, ::-1][:, :DIRECTIONS]
    return found


def _direction(points: Vectors, like: np.ndarray) -> np.ndarray:
    """The direction in which points vary most, turned so that it does not oppose `like`."""
    moved = points - points.mean(axis=0)
    spread = moved.T @ moved
    direction = like.astype(np.float64) + 1e-3  # never wholly outside of what varies
    for _ in range(ROUNDS):
        direction = spread @ direction
        length = np.linalg.norm(direction)
        if length == 0:
            return like
        direction /= length
    return direction if direction @ like >= 0 else -direction
