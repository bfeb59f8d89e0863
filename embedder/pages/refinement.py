"""Swaps on the map that bring each image next to those most like it.

Cutting a collection in two, again and again, lays out the whole well, but two images that one cut separates stay
apart for good. Swapping pairs of images mends that: each round proposes thousands of swaps, which put an image beside
one of its nearest neighbours, and carries out those that shorten the distances between neighbours. Early rounds also
carry out some that lengthen them (simulated annealing), so that the map does not settle in the first poor arrangement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedder.records import Vectors

PROPOSALS = 150
"""Swaps proposed for each image, all rounds together. Twice as many bring 2 % more neighbours together."""
BATCH = 5000
"""The most swaps proposed in one round, which bounds the memory: about 60 MB."""
TOUCHING = 1.42
"""The distance of two cells that touch at a corner; nearer than that, neighbours are near enough."""
AROUND = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1) if x or y])
"""The eight steps from a cell to those that touch it."""


@dataclass(frozen=True, slots=True)
class _Links:
    """Each image's neighbours, and those whose neighbour it is; image `i` has `starts[i]` to `starts[i + 1]`."""

    others: np.ndarray
    weights: np.ndarray
    starts: np.ndarray


def refine(cells: np.ndarray, columns: int, near: np.ndarray, scores: Vectors) -> np.ndarray:
    """Swap images on the map until those that are alike touch.

    Args:
        cells: for each of n images the number of its cell, row by row.
        columns: of the map.
        near: for each image its nearest neighbours, the nearest first, (n, k).
        scores: their cosines, (n, k).

    Returns:
        For each image the number of its new cell. The set of cells in use stays the same.
    """
    count, known = near.shape
    if known == 0:
        return cells
    chance = np.random.default_rng(0)
    links = _links(near, scores)
    rows = int(cells.max()) // columns + 1
    lengths = _lengths(columns, rows)
    at = np.full(columns * rows, -1)
    at[cells] = np.arange(count)
    places = np.stack([cells % columns, cells // columns])  # (2, n): column and row
    batch = min(BATCH, -(-count // 2))
    rounds = -(-PROPOSALS * count // batch)
    for turn in range(rounds):
        heat = links.weights.mean() * (1 - turn / rounds) ** 2
        one, other = _proposals(chance, places, at, near, (columns, rows), batch)
        changes = _changes(one, other, places, links, lengths)
        taken = np.flatnonzero(changes < -heat * np.log(1 - chance.random(len(one))))
        one, other = _apart(one[taken], other[taken], count)
        places[:, one], places[:, other] = places[:, other], places[:, one]
        at[places[1, one] * columns + places[0, one]] = one
        at[places[1, other] * columns + places[0, other]] = other
    moved: np.ndarray = places[1] * columns + places[0]
    return moved


def _links(near: np.ndarray, scores: Vectors) -> _Links:
    """Link neighbours in both directions, the first of each and the most alike by the largest weight."""
    count, known = near.shape
    gaps = np.maximum(0, 1 - scores.astype(np.float64))
    usual = float(np.median(gaps[:, 0])) + 1e-6  # of a collection's own: random weights leave gaps of a thousandth
    strength = usual / (0.1 * usual + gaps) / np.sqrt(np.arange(1, known + 1))
    ends = np.concatenate([np.repeat(np.arange(count), known), near.ravel()])
    others = np.concatenate([near.ravel(), np.repeat(np.arange(count), known)])
    order = np.argsort(ends, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(ends, minlength=count))])
    return _Links(others[order], np.tile(strength.ravel(), 2)[order].astype(np.float32), starts)


def _lengths(columns: int, rows: int) -> np.ndarray:
    """What a link costs by the columns and rows between its ends, (columns, rows).

    The root makes one far neighbour cheaper than several that are a little too far.
    """
    across, down = np.meshgrid(np.arange(columns), np.arange(rows), indexing="ij")
    return np.sqrt(np.maximum(0, np.hypot(across, down) - TOUCHING)).astype(np.float32)


def _proposals(
    chance: np.random.Generator,
    places: np.ndarray,
    at: np.ndarray,
    near: np.ndarray,
    shape: tuple[int, int],
    batch: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose images, and for each the one it may swap with, which lies beside one of its neighbours."""
    count, known = near.shape
    one = chance.permutation(count)[:batch]
    aim = near[one, (chance.random(len(one)) ** 2 * known).astype(np.intp)]  # the nearest most often
    column, row = places[:, aim] + AROUND[chance.integers(0, len(AROUND), len(one))].T
    inside = (column >= 0) & (row >= 0) & (column < shape[0]) & (row < shape[1])
    one, other = one[inside], at[row[inside] * shape[0] + column[inside]]
    real = (other >= 0) & (other != one)
    return one[real], other[real]


def _changes(one: np.ndarray, other: np.ndarray, places: np.ndarray, links: _Links, lengths: np.ndarray) -> np.ndarray:
    """By how much each swap, taken alone, would lengthen the links of its two images."""
    movers, partners = np.concatenate([one, other]), np.concatenate([other, one])
    sizes = links.starts[movers + 1] - links.starts[movers]
    swap = np.repeat(np.arange(len(movers)), sizes)
    link = np.arange(len(swap)) + np.repeat(links.starts[movers] - (np.cumsum(sizes) - sizes), sizes)
    ends = links.others[link]
    before = np.abs(places[:, movers[swap]] - places[:, ends])
    after = np.abs(places[:, partners[swap]] - places[:, ends])
    longer = links.weights[link] * (lengths[after[0], after[1]] - lengths[before[0], before[1]])
    longer[ends == partners[swap]] = 0  # the link between the two keeps its length
    summed = np.bincount(swap, longer, len(movers))
    changes: np.ndarray = summed[: len(one)] + summed[len(one) :]
    return changes


def _apart(one: np.ndarray, other: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep swaps that have no image in common."""
    numbers = np.arange(len(one))
    claims = np.full(count, -1)
    claims[one] = numbers
    claims[other] = numbers  # the last swap that claims an image may have it
    alone = (claims[one] == numbers) & (claims[other] == numbers)
    return one[alone], other[alone]
