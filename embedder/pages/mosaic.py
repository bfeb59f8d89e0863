"""The map as pictures: a grid of squares, cut into sheets that a browser draws a few of at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from embedder.pages import webp
from embedder.records import Pixels

SHEET = 1920
"""Pixels of a sheet's sides: phones decode pictures of this size."""
GROUND = (128, 128, 128, 60)
"""The colour of a cell whose image has no picture."""


class Mosaic:
    """The grid, filled as its pictures come."""

    def __init__(self, columns: int, rows: int, side: int) -> None:
        self.columns, self.rows, self.side = columns, rows, side
        self.pixels = np.zeros((rows * side, columns * side, 4), np.uint8)

    def put(self, cell: int, pixels: Pixels | None) -> None:
        """Draw a picture, (side, side, 3), into a cell; None draws the sign for a missing picture."""
        row, column = divmod(cell, self.columns)
        place = self.pixels[row * self.side : (row + 1) * self.side, column * self.side : (column + 1) * self.side]
        if pixels is None:
            place[:] = GROUND
            place[np.eye(self.side, dtype=np.bool_)] = (128, 128, 128, 160)
        else:
            place[:, :, :3] = pixels
            place[:, :, 3] = 255

    def sheets(self) -> list[dict[str, Any]]:
        """Return each sheet with the column and row of its first cell."""
        span = max(1, SHEET // self.side)
        return [
            {"column": column, "row": row, "address": webp(self._part(column, row, span))}
            for row in range(0, self.rows, span)
            for column in range(0, self.columns, span)
        ]

    def _part(self, column: int, row: int, span: int) -> np.ndarray:
        side = self.side
        part = self.pixels[row * side : (row + span) * side, column * side : (column + span) * side]
        return np.ascontiguousarray(part if (part[:, :, 3] < 255).any() else part[:, :, :3])
