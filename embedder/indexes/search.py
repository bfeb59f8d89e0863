"""Finding the nearest vectors by way of a store's index where it has one, else by reading everything."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from embedder.indexes import UnusableIndexError, kind_for
from embedder.records import Vectors
from embedder.stores import Store
from embedder.vectors.reader import numbers, select
from embedder.vectors.search import Match, best, cosines, nearest, refuse_other_dimension, unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found, and in which way."""

    matches: list[Match]
    index: str | None = None
    """The index that was used; None where every vector was read."""
    remark: str = ""
    """Why an index that exists was not used, with the remedy: a sentence for the user."""


def search(
    store: Store,
    query: Vectors,
    k: int,
    *,
    fingerprint: str | None = None,
    prefix: str = "",
    made_by: str | None = None,
) -> Found:
    """Find the stored vectors with the largest cosine to a query.

    The cosines are those of the stored bytes, whichever way was taken. With an index, a match may be missing.

    Args:
        query: (dimension,).
        k: how many.
        made_by: the query's own fingerprint, if it is known. An index of other vectors is not used.

    Raises:
        ConfigurationError: the store's vectors are of another dimension, or of several kinds.
        TransientError: the store does not answer.
    """
    remark = ""
    kind = kind_for(store)
    try:
        index = None if kind is None else kind.open(fingerprint)
        if index is not None:
            with closing(index):
                if made_by not in (None, index.covers):
                    raise UnusableIndexError(f"{index.describe()} is for vectors of {index.covers}", helps=False)
                direction = unit(query[None])[0]
                ids = list(index.candidates(direction, k, prefix))
                matches = _ranked(store, ids, direction, k, index.covers)
                if len(matches) >= k:
                    return Found(matches=matches, index=index.describe())
                which = f" whose id starts with {prefix!r}" if prefix else ""
                raise UnusableIndexError(f"{index.describe()} gave {len(matches)} of {k} images{which}", helps=False)
    except UnusableIndexError as error:
        remark = f"{error}; every vector is read{error.remedy(store.name)}"
    return Found(matches=nearest(store, query, k, fingerprint=fingerprint, prefix=prefix), remark=remark)


def search_stored(
    store: Store, image_id: str, k: int, *, fingerprint: str | None = None, prefix: str = ""
) -> Found | None:
    """Find the `k` images most similar to a stored one, which comes first itself; None if it is not stored."""
    own = next(iter(store.get([image_id])), None)
    if own is None or fingerprint not in (None, own.fingerprint):
        return None
    query = numbers(own, store.name)
    found = search(store, query, k + 1, fingerprint=fingerprint, prefix=prefix, made_by=own.fingerprint)
    others = (each for each in found.matches if each.image_id != image_id)
    matches = [Match(image_id, 1.0), *others][:k]
    return Found(matches=matches, index=found.index, remark=found.remark)


def _ranked(store: Store, ids: list[str], direction: Vectors, k: int, fingerprint: str) -> list[Match]:
    """Return the `k` nearest of some stored vectors, by the cosines of their bytes."""
    names, vectors = select(store, ids, fingerprint=fingerprint)
    if not names:
        return []
    refuse_other_dimension(store, vectors, direction)
    found, scores = best(names, cosines(vectors, direction), k)
    return [Match(image_id, float(score)) for image_id, score in zip(found, scores, strict=True)]
