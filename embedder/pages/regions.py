"""Regions of the map: neighbouring cells whose images are alike, each with a picture and a folder to know it by."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedder.records import Vectors

MOST = 36
"""More regions than this are not seen at a glance."""
IMAGES = 4
"""The square of the number of regions, times this, is the number of images: 16 regions of 1,000, 36 of 5,000."""
SHARED = 0.6
"""The share of a region's images that a folder has to hold to give the region its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """The label of a list that is nearest to a region's mean direction, and the one after it.

    Their cosines order the labels of one list. They are no measure of how sure the first one is.
    """

    text: str
    score: float
    next_text: str
    next_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A connected part of the map; images are numbers."""

    images: list[int]
    representative: int
    """The image nearest to the mean of all."""
    cell: int
    """A cell well inside, as far from the border as any."""
    label: str
    """The deepest folder that most of the images share; empty where there is none that says anything."""
    word: Word | None = None
    """What the images show, in a word of a list; None without such a list."""


def regions(points: Vectors, cells: np.ndarray, columns: int, ids: Sequence[str]) -> list[Region]:
    """Divide the map into regions, the largest first.

    Cells that touch are merged, those first whose merging adds least to the variance within regions (Ward's
    criterion), until few are left. So a region is connected, whatever the images in it are.

    Args:
        points: coordinates of the images in which distances tell how unlike they are, (n, d).
        cells: for each image the number of its cell, row by row.
    """
    count = len(points)
    wanted = min(MOST, max(1, round(math.sqrt(count / IMAGES))))
    at = np.full(columns * (int(cells.max()) // columns + 1), -1)
    at[cells] = np.arange(count)
    merged = _merged(points.astype(np.float64), at.reshape(-1, columns), wanted)
    members = [np.flatnonzero(merged == label) for label in np.unique(merged)]
    members.sort(key=lambda each: (-len(each), each[0]))
    common = _most_common_folder(ids, range(count), share=SHARED)
    return [_region(points, each, cells, columns, ids, common) for each in members]


def _merged(points: Vectors, grid: np.ndarray, wanted: int) -> np.ndarray:
    """Return a label for each image, `wanted` different ones, or more where the map itself is not connected."""
    count = len(points)
    sums = {number: points[number] for number in range(count)}
    sizes = dict.fromkeys(range(count), 1)
    beside: dict[int, set[int]] = {number: set() for number in range(count)}
    for one, other in _borders(grid):
        beside[one].add(other)
        beside[other].add(one)

    def cost(one: int, other: int) -> float:
        gap = sums[one] / sizes[one] - sums[other] / sizes[other]
        return float(gap @ gap) * sizes[one] * sizes[other] / (sizes[one] + sizes[other])

    queue = [(cost(one, other), one, other) for one in range(count) for other in beside[one] if one < other]
    heapq.heapify(queue)
    owner = list(range(count))
    last = count  # a merged region gets a new number, so that what the queue holds of its parts is known to be old
    while len(sums) > wanted and queue:
        _, one, other = heapq.heappop(queue)
        if one not in sums or other not in sums:
            continue
        sums[last], sizes[last] = sums.pop(one) + sums.pop(other), sizes.pop(one) + sizes.pop(other)
        around = (beside.pop(one) | beside.pop(other)) - {one, other}
        for each in around:
            beside[each] -= {one, other}
            beside[each].add(last)
        beside[last] = around
        owner.append(last)
        owner[one] = owner[other] = last
        for each in around:
            heapq.heappush(queue, (cost(each, last), each, last))
        last += 1
    for number in reversed(range(len(owner))):
        owner[number] = owner[owner[number]]
    return np.array(owner[:count])


def _borders(grid: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs of images whose cells have a side in common."""
    pairs = np.concatenate(
        [
            np.stack([grid[:, :-1].ravel(), grid[:, 1:].ravel()], axis=1),
            np.stack([grid[:-1].ravel(), grid[1:].ravel()], axis=1),
        ]
    )
    return [(int(one), int(other)) for one, other in pairs[(pairs >= 0).all(axis=1)]]


def _region(
    points: Vectors, members: np.ndarray, cells: np.ndarray, columns: int, ids: Sequence[str], common: str
) -> Region:
    off = np.linalg.norm(points[members] - points[members].mean(axis=0), axis=1)
    label = _most_common_folder(ids, members.tolist(), share=SHARED)
    return Region(
        images=members.tolist(),
        representative=int(members[int(off.argmin())]),
        cell=_inside(cells[members], columns),
        label="" if label == common else label,
    )


def _most_common_folder(ids: Sequence[str], members: Sequence[int], *, share: float) -> str:
    """Return the deepest folder that holds at least a share of the members, with a slash at its end, or nothing."""
    counts: Counter[str] = Counter()
    for each in members:
        parts = ids[each].split("/")[:-1]
        counts.update("/".join(parts[: depth + 1]) + "/" for depth in range(len(parts)))
    holding = [folder for folder, held in counts.items() if held >= share * len(members)]
    return max(holding, key=lambda folder: (folder.count("/"), folder), default="")


def _inside(cells: np.ndarray, columns: int) -> int:
    """Return the cell that is furthest from every cell of another region, the one nearest the middle among equals."""
    rows = int(cells.max()) // columns + 1
    inner = np.zeros((rows + 2, columns + 2), np.bool_)
    inner[cells // columns + 1, cells % columns + 1] = True
    depth = np.zeros(inner.shape, np.intp)
    while inner.any():
        depth += inner
        inner = inner & np.roll(inner, 1, 0) & np.roll(inner, -1, 0) & np.roll(inner, 1, 1) & np.roll(inner, -1, 1)
    y, x = cells // columns, cells % columns
    off = np.hypot(x - x.mean(), y - y.mean())
    return int(cells[np.lexsort((off, -depth[y + 1, x + 1]))[0]])
