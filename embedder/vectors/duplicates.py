"""Groups of near-duplicates in a store: exact, in bounded memory, without comparing every pair in full.

For vectors a and b of length one, |a - b|² = 2 - 2 cos(a, b). An orthogonal projection makes no distance longer, and
neither does replacing the rest by its length. So each vector gets a sketch of a few numbers, along the
directions in which the collection varies most, and the length of what is left: pairs whose sketches are further
apart than the threshold allows cannot be near-duplicates. Sketches are sorted into leaves, whole leaves are
ruled out by their bounding boxes, the rest by one small matrix product, and only what remains is compared in
full, in float64. See docs/design.md for what it costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import Vectors
from embedder.stores import Store
from embedder.system.files import temporary_file
from embedder.vectors.components import Components
from embedder.vectors.reader import batches

DIRECTIONS = 24
"""Numbers in a sketch, before the length of the rest. See docs/design.md."""
LEAF = 1024
"""The most sketches in a leaf: the product of two leaves, 4 MB, stays in the cache."""
SAMPLE = 20_000
"""Vectors from which the directions are found."""
CHECKED = 2048
"""Pairs compared in full at once."""
SLACK = 1e-4
"""Far more than float32 can lose on half a squared distance of sketches; what it lets through is compared in full."""
ROUNDING = 1e-12
"""So that two copies of one vector have a cosine of at least 1."""


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a group."""

    image_id: str
    score: float
    """Its cosine to the group's first image."""


@dataclass(frozen=True, slots=True)
class Group:
    """Images linked by pairs that are alike enough; first the one most alike to all, the others by their score."""

    members: tuple[Member, ...]


def find_duplicates(
    store: Store, threshold: float, *, prefix: str = "", fingerprint: str | None = None
) -> tuple[int, list[Group]]:
    """Group a store's images whose cosine is `threshold` or more, over a temporary file of the vectors.

    Memory is about 250 bytes a vector, however long the vectors are.

    Returns:
        How many vectors were compared, and the groups, the largest first.

    Raises:
        ConfigurationError: the threshold is none, the store is of several kinds, or no file can be made.
        TransientError: the store does not answer, or the file finds no room.
    """
    check_threshold(threshold)
    ids: list[str] = []
    with temporary_file("the comparison of all vectors") as file:
        dimension = 0
        for names, vectors in batches(store, prefix=prefix, fingerprint=fingerprint):
            dimension = vectors.shape[1]
            ids += names
            file.write(vectors.astype(np.float32, copy=False).tobytes())
        file.flush()
        if len(ids) < 2:
            return len(ids), []
        rows = np.memmap(file, np.float32, "r", shape=(len(ids), dimension))
        return len(ids), group(ids, rows, threshold)


def check_threshold(threshold: float) -> None:
    """Refuse what is no cosine of images that are alike.

    Raises:
        ConfigurationError: not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigurationError(f"--threshold {threshold}: expected a cosine above 0 and at most 1, such as 0.98")


def group(ids: Sequence[str], rows: Vectors, threshold: float) -> list[Group]:
    """Group rows, (n, dimension) float32, linked by cosines of `threshold` or more; the largest group first."""
    components = Components(len(rows))
    lengths = _lengths(rows)
    usable = np.flatnonzero(lengths)  # a vector of zeros has no direction, and no near-duplicate
    if len(usable) > 1:
        sketches = _sketches(rows, lengths, usable)
        for one, other in _candidates(sketches, usable, threshold, components):
            _check(rows, lengths, one, other, threshold, components)
    made = [_group(ids, rows, lengths, each) for each in components.groups()]
    return sorted(made, key=lambda each: (-len(each.members), each.members[0].image_id))


def _lengths(rows: Vectors) -> np.ndarray:
    parts = (rows[start : start + CHECKED].astype(np.float64) for start in range(0, len(rows), CHECKED))
    return np.concatenate([np.sqrt(np.einsum("ij,ij->i", part, part)) for part in parts])


def _sketches(rows: Vectors, lengths: np.ndarray, usable: np.ndarray) -> Vectors:
    """Each usable row's projection and the length of the rest, (n, directions + 1) float32."""
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
    sketches: Vectors, names: np.ndarray, threshold: float, components: Components
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows' numbers, pair by pair, that hold every pair that reaches the threshold and is not joined yet."""
    leaves = _leaves(sketches)
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
    product, close = np.empty(LEAF * LEAF, np.float32), np.empty(LEAF * LEAF, np.bool_)
    for here in range(len(leaves)):
        gaps = np.maximum(0, np.maximum(low[here:] - high[here], low[here] - high[here:]))
        reachable = here + np.flatnonzero(np.einsum("ij,ij->i", gaps, gaps) <= 2 * limit)
        mine = slice(starts[here], ends[here])
        for there in reachable:
            theirs = slice(starts[there], ends[there])
            ours = _within(points[mine], low[there], high[there], limit) + starts[here]
            others = _within(points[theirs], low[here], high[here], limit) + starts[there]
            if not len(ours) or not len(others) or _joined(components, names[ours], names[others]):
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


def _leaves(points: Vectors) -> list[np.ndarray]:
    """Points in leaves of at most LEAF, by halving where they spread most."""
    waiting, leaves = [np.arange(len(points))], []
    while waiting:
        part = waiting.pop()
        if len(part) <= LEAF:
            leaves.append(part)
            continue
        own = points[part]
        values = own[:, np.argmax(own.var(axis=0))]
        halves = np.argpartition(values, len(part) // 2)
        waiting += [part[halves[len(part) // 2 :]], part[halves[: len(part) // 2]]]
    return leaves


def _within(points: Vectors, low: Vectors, high: Vectors, limit: float) -> np.ndarray:
    """The places of those points that are near enough to a box."""
    gaps = points - np.clip(points, low, high)
    return np.flatnonzero(np.einsum("ij,ij->i", gaps, gaps) <= 2 * limit)


def _joined(components: Components, ours: np.ndarray, others: np.ndarray) -> bool:
    """Whether all of these are one group already, as where thousands of copies lie together."""
    label = components.labels[ours[0]]
    return bool(np.all(components.labels[ours] == label) and np.all(components.labels[others] == label))


def _check(
    rows: Vectors, lengths: np.ndarray, one: np.ndarray, other: np.ndarray, threshold: float, components: Components
) -> None:
    """Join those pairs whose cosine reaches the threshold."""
    for start in range(0, len(one), CHECKED):
        a, b = one[start : start + CHECKED], other[start : start + CHECKED]
        apart = components.labels[a] != components.labels[b]
        a, b = a[apart], b[apart]
        products = np.einsum("ij,ij->i", rows[a].astype(np.float64), rows[b].astype(np.float64))
        alike = products >= (threshold - ROUNDING) * lengths[a] * lengths[b]
        for first, second in zip(a[alike].tolist(), b[alike].tolist(), strict=True):
            components.join(first, second)


def _group(ids: Sequence[str], rows: Vectors, lengths: np.ndarray, places: list[int]) -> Group:
    total = np.zeros(rows.shape[1])
    for start in range(0, len(places), CHECKED):
        part = places[start : start + CHECKED]
        total += (rows[part] / lengths[part, None]).sum(axis=0)
    nearness = _cosines(rows, lengths, places, total)
    centre = places[int(np.argmax(np.round(nearness, 9)))]  # of equals the first
    scores = _cosines(rows, lengths, places, rows[centre].astype(np.float64) / lengths[centre])
    members = [Member(ids[place], min(float(score), 1.0)) for place, score in zip(places, scores, strict=True)]
    return Group(
        tuple(sorted(members, key=lambda each: (each.image_id != ids[centre], -round(each.score, 9), each.image_id)))
    )


def _cosines(rows: Vectors, lengths: np.ndarray, places: list[int], direction: np.ndarray) -> np.ndarray:
    parts = [places[start : start + CHECKED] for start in range(0, len(places), CHECKED)]
    return np.concatenate([rows[part].astype(np.float64) @ direction / lengths[part] for part in parts])
