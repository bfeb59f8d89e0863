"""Groups of near-duplicates in a store, in bounded memory, without comparing every pair in full.

First the pairs: all of them, or with an index those that share a cell (`cells.py`). For unit vectors a and b,
|a - b|² = 2 - 2 cos(a, b). An orthogonal projection never lengthens a distance, nor does replacing what it leaves out
by its length. So each vector gets a sketch: a few coordinates, along the directions in which the collection varies
most, and the length of the rest. Pairs whose sketches are further apart than the threshold allows cannot be
near-duplicates. Sketches are sorted into leaves; bounding boxes rule out whole leaves, one small matrix product rules
out most of the other pairs, and only what remains is compared in full, in float64. docs/design.md says what it costs.

Then the groups. Images that pairs link, directly or over others, form a part. A part is no group: over a chain of
neighbours it holds images that are unlike each other. So the images of a part are taken from the most worth keeping to
the least; one that is near an image kept before it joins that image's group, any other is kept and begins its own.
Every member of a group is therefore at least the threshold from the image that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import Vectors
from embedder.stores import Store
from embedder.system.files import temporary_file
from embedder.system.steps import Advance, step
from embedder.vectors.cells import pairs_in_cells
from embedder.vectors.reader import batches

DIRECTIONS = 24
"""Coordinates of a sketch, without the length of the rest. See docs/design.md."""
LEAF = 1024
"""The most sketches in a leaf: the product of two leaves, 4 MB, stays in the cache."""
SAMPLE = 20_000
"""Vectors from which the directions are found."""
CHECKED = 2048
"""Pairs compared in full at once."""
SLACK = 1e-4
"""Far more than float32 can lose on half a squared distance of sketches; what it lets through is compared in full."""
ROUNDING = 1e-12
"""Taken off the threshold, so that two copies of one vector have a cosine of at least 1."""
CANDIDATES = 256
"""Images of a part that are considered for keeping at once."""

Worth: TypeAlias = tuple[int, ...]
"""What speaks for keeping an image, the weightiest number first; the larger is kept."""
Appraise: TypeAlias = Callable[[Sequence[str]], Mapping[str, Worth]]
"""Says what images are worth, by id; an image that it leaves out is worth least."""

Divide: TypeAlias = Callable[[Sequence[str], Vectors], np.ndarray]
"""Returns the cells of rows, (n, cells), of which it also gets the ids."""


@dataclass(frozen=True, slots=True)
class GroupMember:
    """An image of a group."""

    image_id: str
    score: float
    """Its cosine to the image of the group that is to be kept."""


@dataclass(frozen=True, slots=True)
class Group:
    """Near-duplicates of one image: that image first, which is the one to keep, then the others by their score."""

    members: tuple[GroupMember, ...]


def find_duplicates(
    store: Store,
    threshold: float,
    *,
    prefix: str = "",
    fingerprint: str | None = None,
    cells: Divide | None = None,
) -> tuple[int, list[Group]]:
    """Group the images of a store, over a temporary file of their vectors.

    Of a group the largest file is kept, where the store knows the sizes, as it does of local files; of equals the
    first by id. Memory is about 250 bytes a vector, however long the vectors are.

    Args:
        cells: divides the vectors, so that only those of one cell are compared; pairs may be missed.

    Returns:
        How many vectors were compared, and the groups, the largest first.

    Raises:
        ConfigurationError: the threshold is not a cosine of images that are alike, the store holds several kinds of
            vectors, or no temporary file can be made.
        TransientError: the store does not answer, or the disk is full.
    """
    check_threshold(threshold)
    ids: list[str] = []
    with temporary_file("the comparison of all vectors") as file:
        dimension = 0
        with step("reading vectors", unit="vectors") as advance:
            for names, vectors in batches(store, prefix=prefix, fingerprint=fingerprint):
                dimension = vectors.shape[1]
                ids += names
                file.write(vectors.astype(np.float32, copy=False).tobytes())
                advance(len(names))
        file.flush()
        if len(ids) < 2:
            return len(ids), []
        rows = np.memmap(file, np.float32, "r", shape=(len(ids), dimension))
        divided = None if cells is None else cells(ids, rows)
        return len(ids), group(ids, rows, threshold, lambda linked: file_sizes(store, linked), cells=divided)


def file_sizes(store: Store, ids: Sequence[str]) -> dict[str, Worth]:
    """Look up how many bytes the files of images had when they were embedded; objects of a bucket are left out."""
    found = store.lookup(ids).values()
    return {each.image_id: (int(each.modified.partition("-")[0]),) for each in found if each.modified}


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that is not the cosine of images that are alike.

    Raises:
        ConfigurationError: it is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigurationError(f"--threshold {threshold}: expected a cosine above 0 and at most 1, such as 0.98")


def group(
    ids: Sequence[str],
    rows: Vectors,
    threshold: float,
    appraise: Appraise = lambda _: {},
    *,
    cells: np.ndarray | None = None,
    leaf: int = LEAF,
    checked: int = CHECKED,
) -> list[Group]:
    """Group rows, (n, dimension) float32, around the images that are worth keeping.

    Args:
        threshold: the least cosine of an image to the one that is kept of its group.
        appraise: called once, with the ids of all images that have a near-duplicate.
        cells: of each row, (n, cells) integers, the nearest cell first; a pair is found if the first cell of one is
            among the cells of the other. None finds every pair.
        leaf: the most sketches in a leaf.
        checked: how many pairs, or rows, are compared in full at once.

    Returns:
        The groups of two and more images, the largest first; an image is in at most one.
    """
    parts = _Parts(len(rows))
    lengths = _lengths(rows, checked)
    usable = np.flatnonzero(lengths)  # a vector of zeros has no direction, and no near-duplicate
    if len(usable) > 1:
        with step("comparing vectors", total=len(usable)) as advance:
            if cells is None:
                sketches = _sketches(rows, lengths, usable)
                pairs = _candidates(sketches, usable, threshold, parts, leaf, advance)
            else:
                pairs = pairs_in_cells(rows, lengths, usable, cells, threshold - SLACK, advance)
            for one, other in pairs:
                _check(rows, lengths, one, other, threshold, parts, checked)
    linked = parts.linked()
    worth = appraise([ids[place] for part in linked for place in part])
    made: list[Group] = []
    for part in linked:
        part.sort(key=lambda place: ids[place])
        part.sort(key=lambda place: worth.get(ids[place], ()), reverse=True)
        made += _groups(ids, rows, lengths, np.array(part), threshold, checked)
    return sorted(made, key=lambda each: (-len(each.members), each.members[0].image_id))


class _Parts:
    """A partition of the numbers below `count` into parts that pairs link; at first each number is by itself."""

    def __init__(self, count: int) -> None:
        self.labels = np.arange(count)
        """Equal for two numbers exactly where they are in the same part."""
        self.members: dict[int, list[int]] = {}

    def join(self, one: int, other: int) -> None:
        """Put together the parts of two numbers; the smaller part takes the larger one's label."""
        large, small = int(self.labels[one]), int(self.labels[other])
        if large == small:
            return
        kept, moved = self.members.pop(large, [large]), self.members.pop(small, [small])
        if len(kept) < len(moved):
            large, kept, moved = small, moved, kept
        self.labels[moved] = large
        kept.extend(moved)
        self.members[large] = kept

    def linked(self) -> list[list[int]]:
        """Return the parts of two and more numbers."""
        return list(self.members.values())


def _groups(
    ids: Sequence[str], rows: Vectors, lengths: np.ndarray, part: np.ndarray, threshold: float, checked: int
) -> Iterator[Group]:
    """Divide a part, whose images are ordered from the most worth keeping to the least.

    An image that is near several of those kept joins the one most like it.
    """
    least = threshold - ROUNDING
    kept = np.full(len(part), -1)  # the place in the part of the image that each belongs to
    scores = np.full(len(part), -np.inf)
    waiting = np.arange(len(part))
    while len(waiting):
        block = waiting[:CANDIDATES]
        units = rows[part[block]].astype(np.float64) / lengths[part[block], None]
        chosen = _independent(units @ units.T >= least)
        for start in range(0, len(part), checked):
            here = slice(start, start + checked)
            found = rows[part[here]].astype(np.float64) @ units[chosen].T / lengths[part[here], None]
            nearest = found.argmax(axis=1)
            best = found[np.arange(len(found)), nearest]
            better = (best >= least) & (best > scores[here])
            kept[here][better] = block[chosen][nearest[better]]
            scores[here][better] = best[better]
        kept[block[chosen]], scores[block[chosen]] = block[chosen], np.inf
        waiting = waiting[kept[waiting] < 0]
    for first in np.flatnonzero(np.bincount(kept) > 1):
        others = [place for place in np.flatnonzero(kept == first).tolist() if place != first]
        members = [GroupMember(ids[part[place]], min(float(scores[place]), 1.0)) for place in others]
        members.sort(key=lambda each: (-round(each.score, 9), each.image_id))
        yield Group((GroupMember(ids[part[first]], 1.0), *members))


def _independent(near: np.ndarray) -> list[int]:
    """Choose rows of a matrix of booleans, (n, n), in order, each near none of those chosen before it."""
    chosen: list[int] = []
    covered = np.zeros(len(near), np.bool_)
    for number in range(len(near)):
        if not covered[number]:
            chosen.append(number)
            covered |= near[number]
    return chosen


def _lengths(rows: Vectors, checked: int) -> np.ndarray:
    parts = (rows[start : start + checked].astype(np.float64) for start in range(0, len(rows), checked))
    return np.concatenate([np.sqrt(np.einsum("ij,ij->i", part, part)) for part in parts])


def _sketches(rows: Vectors, lengths: np.ndarray, usable: np.ndarray) -> Vectors:
    """Return the projection of each usable row and the length of its rest, (n, directions + 1) float32."""
    step = max(1, len(usable) // SAMPLE)
    chosen = usable[::step][:SAMPLE]
    sample = rows[chosen] / lengths[chosen, None]
    mean = sample.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov((sample - mean).T.astype(np.float32)).reshape(len(mean), -1))
    leading = directions[:, ::-1][:, :DIRECTIONS].astype(np.float32)
    made = np.empty((len(usable), leading.shape[1] + 1), np.float32)
    for start in range(0, len(usable), 4096):
        part = usable[start : start + 4096]
        moved = (rows[part] / lengths[part, None] - mean).astype(np.float32)
        seen = moved @ leading
        rest = np.einsum("ij,ij->i", moved, moved) - np.einsum("ij,ij->i", seen, seen)
        made[start : start + len(part)] = np.column_stack([seen, np.sqrt(np.maximum(rest, 0))])
    return made


def _candidates(
    sketches: Vectors, names: np.ndarray, threshold: float, parts: _Parts, leaf: int, advance: Advance
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield pairs of rows' numbers, among them every pair that reaches the threshold and is not in one part yet."""
    leaves = _leaves(sketches, leaf)
    order = np.concatenate(leaves)
    points, names = sketches[order], names[order]
    limit = 1 - threshold + SLACK  # of half a squared distance
    # Half the squared distance of two sketches as one product, negative: a·b - |a|²/2 - |b|²/2.
    halves = np.einsum("ij,ij->i", points, points)[:, None] / 2
    ones = np.ones_like(halves)
    left, right = np.hstack([points, -halves, ones]), np.hstack([points, ones, -halves])
    ends = np.cumsum([len(each) for each in leaves])
    starts = ends - [len(each) for each in leaves]
    low = np.minimum.reduceat(points, starts, axis=0)
    high = np.maximum.reduceat(points, starts, axis=0)
    product, close = np.empty(leaf * leaf, np.float32), np.empty(leaf * leaf, np.bool_)
    for here in range(len(leaves)):
        advance(len(leaves[here]))
        gaps = np.maximum(0, np.maximum(low[here:] - high[here], low[here] - high[here:]))
        reachable = here + np.flatnonzero(np.einsum("ij,ij->i", gaps, gaps) <= 2 * limit)
        mine = slice(starts[here], ends[here])
        for there in reachable:
            theirs = slice(starts[there], ends[there])
            ours = _within(points[mine], low[there], high[there], limit) + starts[here]
            others = _within(points[theirs], low[here], high[here], limit) + starts[there]
            if not len(ours) or not len(others) or _joined(parts, names[ours], names[others]):
                continue
            size = len(ours) * len(others)
            block = product[:size].reshape(len(ours), len(others))
            np.matmul(left[ours], right[others].T, out=block)
            np.greater_equal(product[:size], -limit, out=close[:size])
            found = np.flatnonzero(close[:size])
            if len(found):
                one, other = ours[found // len(others)], others[found % len(others)]
                apart = one < other
                yield names[one[apart]], names[other[apart]]


def _leaves(points: Vectors, leaf: int) -> list[np.ndarray]:
    """Sort points into leaves of at most `leaf`, by halving them where they spread most."""
    waiting, leaves = [np.arange(len(points))], []
    while waiting:
        part = waiting.pop()
        if len(part) <= leaf:
            leaves.append(part)
            continue
        own = points[part]
        values = own[:, np.argmax(own.var(axis=0))]
        halves = np.argpartition(values, len(part) // 2)
        waiting += [part[halves[len(part) // 2 :]], part[halves[: len(part) // 2]]]
    return leaves


def _within(points: Vectors, low: Vectors, high: Vectors, limit: float) -> np.ndarray:
    """Find the places of those points that are near enough to a box."""
    gaps = points - np.clip(points, low, high)
    return np.flatnonzero(np.einsum("ij,ij->i", gaps, gaps) <= 2 * limit)


def _joined(parts: _Parts, ours: np.ndarray, others: np.ndarray) -> bool:
    """Say whether all of these are in one part already, as where thousands of copies lie together."""
    label = parts.labels[ours[0]]
    return bool(np.all(parts.labels[ours] == label) and np.all(parts.labels[others] == label))


def _check(
    rows: Vectors,
    lengths: np.ndarray,
    one: np.ndarray,
    other: np.ndarray,
    threshold: float,
    parts: _Parts,
    checked: int,
) -> None:
    """Join those pairs whose cosine reaches the threshold."""
    for start in range(0, len(one), checked):
        a, b = one[start : start + checked], other[start : start + checked]
        apart = parts.labels[a] != parts.labels[b]
        a, b = a[apart], b[apart]
        products = np.einsum("ij,ij->i", rows[a].astype(np.float64), rows[b].astype(np.float64))
        alike = products >= (threshold - ROUNDING) * lengths[a] * lengths[b]
        for first, second in zip(a[alike].tolist(), b[alike].tolist(), strict=True):
            parts.join(first, second)
