"""Vectors back out of a store, as numpy arrays. Never imports torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import StoredVector, Vectors
from embedder.stores import Store, open_store


def read(
    store: str,
    ids: Iterable[str] | None = None,
    *,
    prefix: str = "",
    fingerprint: str | None = None,
) -> tuple[list[str], Vectors]:
    """Read vectors from `dynamodb://table` or a SQLite file.

    Args:
        store: the store's name.
        ids: the images wanted; all of them when None.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed where a store holds several.

    Returns:
        The ids, and the vectors as (n, dimension) in the stored dtype, row for row. In the order of
        `ids`, less those that are not stored; without `ids` sorted by id.

    Raises:
        ConfigurationError: there is no such store, or the vectors are of several kinds.
        TransientError: the store does not answer.
    """
    opened = open_store(str(store), must_exist=True)
    try:
        return select(opened, ids, prefix=prefix, fingerprint=fingerprint)
    finally:
        opened.close()


def select(
    store: Store, ids: Iterable[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> tuple[list[str], Vectors]:
    """Read vectors from an open store; see `read`."""
    if ids is None:
        found = _wanted(store.scan(prefix), fingerprint)
        order = sorted(found)
    else:
        asked = [each for each in ids if each.startswith(prefix)]
        found = _wanted(store.get(list(dict.fromkeys(asked))), fingerprint)
        order = [each for each in asked if each in found]
    return order, _stack(store, [found[each] for each in order])


@dataclass(frozen=True, slots=True)
class _Row:
    vector: bytes
    data_type: str
    dimension: int
    fingerprint: str


def _wanted(vectors: Iterator[StoredVector], fingerprint: str | None) -> dict[str, _Row]:
    return {
        each.image_id: _Row(each.vector, each.data_type, each.dimension, each.fingerprint)
        for each in vectors
        if fingerprint is None or each.fingerprint == fingerprint
    }


def _stack(store: Store, rows: Sequence[_Row]) -> Vectors:
    kinds = Counter(row.fingerprint for row in rows)
    if len(kinds) > 1:
        listed = ", ".join(f"{kind or 'unknown'} ({count:,})" for kind, count in kinds.most_common())
        raise ConfigurationError(
            f"{store.name} holds vectors that cannot be compared: {listed}; choose with --fingerprint"
        )
    if not rows:
        return np.empty((0, 0), np.float32)
    shape = (len(rows), rows[0].dimension)
    data_type = np.dtype(rows[0].data_type).newbyteorder("<")
    data = b"".join(row.vector for row in rows)
    if len(data) != shape[0] * shape[1] * data_type.itemsize:
        raise ConfigurationError(
            f"{store.name} holds vectors whose bytes are not {shape[1]} numbers of {rows[0].data_type}: "
            "something else has written to it"
        )
    vectors: Vectors = np.frombuffer(data, data_type).reshape(shape)
    return vectors
