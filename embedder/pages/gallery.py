"""The page of `embedder gallery`: a map of a whole collection, and what stands out in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from embedder.pages import write_page
from embedder.pages.mosaic import Mosaic
from embedder.pages.regions import Region
from embedder.pages.sketches import Sketches
from embedder.pages.thumbnails import WIDEST, Thumbnail

PIXELS = 41_000_000
"""In all squares of the map together: 10,000 images of 64 × 64, 14 MB."""
ALL_PIXELS = 55_000_000
"""In the squares and the previews together, which bounds the page: 19 MB."""
SIDES = (24, 160)
"""The smallest and the largest square."""
PREVIEW = 480
"""The longest short side of a preview."""
USUAL = 1.4
"""Length over width of a photograph, by which previews are counted."""
MOST_IMAGES = PIXELS // SIDES[0] ** 2

SCRIPTS = (
    "elements",
    "collection",
    "pictures",
    "view",
    "choice",
    "drawing",
    "badges",
    "side",
    "thumbs",
    "selection",
    "groups",
    "overview",
    "finding",
    "panel",
    "look",
    "address",
    "pointer",
    "keys",
    "start",
)
"""The parts of the page's script, in the order in which they need each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageGroup:
    """Near-duplicates on a page: the image to keep first."""

    images: list[int]
    scores: list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What a page shows of its images, which are numbers: their places in `ids`."""

    store: str
    fingerprint: str
    random: bool
    """Whether the weights were random, so that likeness means nothing."""
    ids: Sequence[str]
    addresses: Sequence[str]
    """Where each picture lies: `file:///…` or `s3://…`; empty where that is not known."""
    embedded: Sequence[str]
    """The day on which each vector was made."""
    taken: Sequence[str]
    """When each picture was taken, ISO 8601; empty where the store does not say."""
    cells: Sequence[int]
    """Where each image lies on the grid, row by row."""
    columns: int
    rows: int
    regions: Sequence[Region]
    sketches: Sketches
    neighbours: Sequence[tuple[list[int], list[float]]]
    """For each image those most like it, with their cosines."""
    outliers: tuple[list[int], list[float]]
    threshold: float
    failures: Sequence[Mapping[str, str]] | None
    """As a run's `--failures` has them; None where none were given."""
    figures: Sequence[tuple[str, str]]


def square_side(count: int) -> int:
    """Return the pixels of a square's sides, so that all of them together stay within `PIXELS`."""
    return max(SIDES[0], min(SIDES[1], int(math.sqrt(PIXELS / max(1, count))) // 2 * 2))


def preview_side(count: int) -> int:
    """Return the pixels of a preview's short side; 0 where there is no room for one that shows more than the square."""
    side = square_side(count)
    left = ALL_PIXELS - count * side**2
    found = min(PREVIEW, int(math.sqrt(max(0, left) / max(1, count) / USUAL)) // 2 * 2)
    return found if found >= side else 0


def write_gallery(
    path: Path,
    collection: Collection,
    mosaic: Mosaic,
    pictures: Sequence[Thumbnail],
    previews: Mapping[int, str],
    groups: Sequence[PageGroup],
) -> None:
    """Write the page.

    Args:
        pictures: what is known of each image's file; the pixels are in the mosaic.
        previews: whole pictures as `data:` addresses, by image.
        groups: the near-duplicates at the collection's threshold.

    Raises:
        ConfigurationError: the page cannot be written there.
        TransientError: the disk is full.
    """
    root = _shared([each for each in collection.addresses if each])
    formats = sorted({each.format for each in pictures})
    write_page(
        path,
        "gallery.html",
        [f"scripts/{each}.js" for each in SCRIPTS],
        data={
            "side": mosaic.side,
            "columns": collection.columns,
            "rows": collection.rows,
            "sheets": mosaic.sheets(),
            "widest": WIDEST,
            "previews": dict(previews),
            "fingerprint": collection.fingerprint,
            "random": collection.random,
            "ids": list(collection.ids),
            "root": root,
            "addresses": [each.removeprefix(root) if each else None for each in collection.addresses],
            "cells": list(collection.cells),
            "missing": {number: each.reason for number, each in enumerate(pictures) if each.reason},
            "sizes": [number for each in pictures for number in (each.width, each.height)],
            "bytes": [each.bytes for each in pictures],
            "formats": formats,
            "format": [formats.index(each.format) for each in pictures],
            "modified": [each.modified for each in pictures],
            "embedded": list(collection.embedded),
            "taken": list(collection.taken) if any(collection.taken) else [],
            "regions": [asdict(each) for each in collection.regions],
            "sketches": asdict(collection.sketches),
            "neighbours": [(near, list(map(_ten_thousandths, scores))) for near, scores in collection.neighbours],
            "groups": [(each.images, list(map(_ten_thousandths, each.scores))) for each in groups],
            "threshold": collection.threshold,
            "outliers": (collection.outliers[0], list(map(_ten_thousandths, collection.outliers[1]))),
        },
        store=collection.store,
        random=collection.random,
        count=len(collection.ids),
        threshold=collection.threshold,
        failures=collection.failures or [],
        failures_asked=collection.failures is not None,
        figures=collection.figures,
    )


def _shared(texts: Sequence[str]) -> str:
    """Return the longest beginning that all texts have in common."""
    first, last = min(texts, default=""), max(texts, default="")
    different = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return first[: next(different, min(len(first), len(last)))]


def _ten_thousandths(score: float) -> int:
    """Return a cosine in ten-thousandths, which is the shortest way to write its four decimals."""
    return round(score * 10_000)
