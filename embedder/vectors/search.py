"""Finding the nearest vectors by cosine: exact, over a whole store, a batch at a time. Needs numpy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import Vectors
from embedder.stores import Store
from embedder.vectors.reader import batches

BATCH = 1024
"""Vectors compared at once: two megabytes of 512 float32 stay in a core's cache."""


@dataclass(frozen=True, slots=True)
class Match:
    """A stored image and how similar it is to the query."""

    image_id: str
    score: float
    """The cosine, from -1 to 1; 0 if a vector is zero, which has no direction."""


def nearest(store: Store, query: Vectors, k: int, *, fingerprint: str | None = None, prefix: str = "") -> list[Match]:
    """Find the stored vectors with the largest cosine to a query.

    Args:
        query: (dimension,).
        k: how many.

    Returns:
        At most `k` matches, the largest cosine first, equal ones by id.

    Raises:
        ConfigurationError: the store's vectors are of another dimension, or of several kinds.
        TransientError: the store does not answer.
    """
    direction = unit(query[None])[0]
    ids: list[str] = []
    scores = np.empty(0, np.float32)
    for names, vectors in batches(store, fingerprint=fingerprint, prefix=prefix, size=BATCH):
        refuse_other_dimension(store, vectors, direction)
        found = cosines(vectors, direction)
        kept = np.flatnonzero(found >= np.partition(found, -k)[-k]) if k < len(found) else np.arange(len(found))
        ids += [names[place] for place in kept]
        scores = np.concatenate([scores, found[kept]])
        if len(ids) > 64 * k:
            ids, scores = best(ids, scores, k)
    ids, scores = best(ids, scores, k)
    return [Match(image_id, float(score)) for image_id, score in zip(ids, scores, strict=True)]


def refuse_other_dimension(store: Store, vectors: Vectors, direction: Vectors) -> None:
    """Refuse to compare the rows of (n, dimension) with a vector of another length.

    Raises:
        ConfigurationError: their dimensions differ.
    """
    if vectors.shape[1] != len(direction):
        raise ConfigurationError(
            f"{store.name} holds vectors of {vectors.shape[1]} numbers and the query has {len(direction)}: "
            "they were made by different models"
        )


def cosines(vectors: Vectors, direction: Vectors) -> Vectors:
    """Return the cosine of each row of (n, dimension) with a vector of length one, as float32; 0 for rows of zeros."""
    rows = vectors.astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    lengths[lengths == 0] = 1
    found: Vectors = rows @ direction / lengths
    return found


def unit(vectors: Vectors) -> Vectors:
    """Return the rows of (n, dimension) scaled to length one, as float32; rows of zeros stay."""
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    made: Vectors = (rows / lengths).astype(np.float32)
    return made


def neighbours(units: Vectors, k: int) -> tuple[np.ndarray, Vectors]:
    """Find the `k` nearest others of each vector, the nearest first.

    Args:
        units: vectors of length one, (n, dimension).

    Returns:
        Row numbers and cosines, both (n, min(k, n - 1)).
    """
    k = min(k, len(units) - 1)
    if k < 1:
        return np.empty((len(units), 0), np.intp), np.empty((len(units), 0), np.float32)
    places, scores = [], []
    for start in range(0, len(units), 256):
        found = units[start : start + 256] @ units.T
        own = np.arange(len(found))
        found[own, start + own] = -np.inf
        best = np.argpartition(found, -k, axis=1)[:, -k:]
        order = np.argsort(-np.take_along_axis(found, best, 1), axis=1, kind="stable")
        best = np.take_along_axis(best, order, 1)
        places.append(best)
        scores.append(np.take_along_axis(found, best, 1))
    return np.concatenate(places), np.concatenate(scores)


def best(ids: list[str], scores: Vectors, k: int) -> tuple[list[str], Vectors]:
    """Return the `k` ids with the largest scores and those scores, the largest first, equal ones by id."""
    order = sorted(range(len(ids)), key=lambda place: (-scores[place], ids[place]))[:k]
    return [ids[place] for place in order], scores[order]
