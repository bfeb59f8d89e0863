"""The page of `embedder gallery`: a map of a whole collection, and what stands out in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedder.pages import webp, write_page
from embedder.records import Pixels

PIXELS = 41_000_000
"""In all thumbnails together, which bounds the page: 10,000 images of 64 × 64, 14 MB."""
SIDES = (24, 160)
"""The smallest and the largest thumbnail."""
MOST_IMAGES = PIXELS // SIDES[0] ** 2
SHEET = 1920
"""Pixels of a tile's sides: phones decode pictures of this size."""
GROUND = (128, 128, 128, 60)
"""Where an image is and its picture is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a page shows; images are numbers, their places in `ids`."""

    store: str
    ids: Sequence[str]
    cells: Sequence[int]
    """Where each image lies on the grid, row by row."""
    columns: int
    rows: int
    neighbours: Sequence[tuple[list[int], list[float]]]
    """For each image those most like it, with their cosines."""
    groups: Sequence[tuple[list[int], list[float]]]
    threshold: float
    outliers: tuple[list[int], list[float]]
    failures: Sequence[Mapping[str, str]] | None
    """As a run's `--failures` has them; None where none were given."""
    figures: Sequence[tuple[str, str]]


def thumbnail_side(count: int) -> int:
    """Pixels of a thumbnail's sides, so that all of them together stay within `PIXELS`."""
    return max(SIDES[0], min(SIDES[1], int(math.sqrt(PIXELS / max(1, count))) // 2 * 2))


class Mosaic:
    """The map as pictures: the grid cut into tiles, each filled as its thumbnails come."""

    def __init__(self, columns: int, rows: int, side: int) -> None:
        self.columns, self.rows, self.side = columns, rows, side
        self.pixels = np.zeros((rows * side, columns * side, 4), np.uint8)

    def put(self, cell: int, pixels: Pixels | None) -> None:
        """Place a thumbnail, (side, side, 3), or the sign that there is none."""
        row, column = divmod(cell, self.columns)
        place = self.pixels[row * self.side : (row + 1) * self.side, column * self.side : (column + 1) * self.side]
        if pixels is None:
            place[:] = GROUND
            place[np.eye(self.side, dtype=np.bool_)] = (128, 128, 128, 160)
        else:
            place[:, :, :3] = pixels
            place[:, :, 3] = 255

    def sheets(self) -> list[dict[str, Any]]:
        """Each tile with the column and row of its first cell."""
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


def write_gallery(path: Path, collection: Collection, mosaic: Mosaic, missing: Mapping[int, str]) -> None:
    """Write the page.

    Args:
        missing: why an image has no picture.

    Raises:
        ConfigurationError: it cannot be written there.
        TransientError: the disk is full.
    """
    write_page(
        path,
        "gallery.html",
        "gallery.js",
        data={
            "side": mosaic.side,
            "columns": collection.columns,
            "rows": collection.rows,
            "sheets": mosaic.sheets(),
            "ids": list(collection.ids),
            "cells": list(collection.cells),
            "missing": dict(missing),
            "neighbours": collection.neighbours,
            "groups": collection.groups,
            "outliers": collection.outliers,
        },
        store=collection.store,
        count=len(collection.ids),
        groups=len(collection.groups),
        threshold=collection.threshold,
        failures=collection.failures or [],
        failures_asked=collection.failures is not None,
        figures=collection.figures,
    )
