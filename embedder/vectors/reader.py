"""Vectors back out of a store, as numpy arrays. Never imports torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import Block, StoredVector, Vectors
from embedder.stores import Store, open_store

BATCH = 4096
"""Vectors at a time: eight megabytes of 512 float32."""


def read(
    store: str | Path,
    ids: Iterable[str] | None = None,
    *,
    prefix: str = "",
    fingerprint: str | None = None,
) -> tuple[list[str], Vectors]:
    """Read vectors from `dynamodb://table` or a SQLite file.

    Args:
        store: the store's name: `dynamodb://table`, or the path of a SQLite file.
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


def read_batches(
    store: str | Path, *, prefix: str = "", fingerprint: str | None = None, size: int = BATCH
) -> Iterator[tuple[list[str], Vectors]]:
    """Read vectors a batch at a time, for stores that do not fit into memory.

    Args:
        store: the store's name: `dynamodb://table`, or the path of a SQLite file.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed where a store holds several.
        size: vectors in a batch; the last one may have fewer.

    Yields:
        Ids, and their vectors as (n, dimension) in the stored dtype, row for row. The order is the
        store's own, and the same every time.

    Raises:
        ConfigurationError: there is no such store, or the vectors are of several kinds. The latter
            may turn out after some batches; none of them mixes kinds.
        TransientError: the store does not answer.
    """
    opened = open_store(str(store), must_exist=True)
    try:
        yield from batches(opened, prefix=prefix, fingerprint=fingerprint, size=size)
    finally:
        opened.close()


def select(
    store: Store, ids: Iterable[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> tuple[list[str], Vectors]:
    """Read vectors from an open store; see `read`."""
    parts, asked = _selected(store, ids, prefix, fingerprint)
    found = list(parts)
    names = [each for part, _ in found for each in part]
    order = _order(names, asked)
    if not found:
        return [], np.empty((0, 0), np.float32)
    rows = np.concatenate([vectors for _, vectors in found])
    del found  # there would be three of everything
    return order, rows[_places(names, order)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spilled:
    """Vectors in a file, as a store gave them, and the order in which they are wanted."""

    file: IO[bytes]
    data_type: np.dtype[Any]
    dimension: int
    ids: list[str]
    """In the order wanted; the file may hold each once and this several times."""
    places: np.ndarray
    """The row of each id."""

    def chunks(self, size: int = BATCH) -> Iterator[Vectors]:
        """Yield the vectors of `ids`, (at most `size`, dimension)."""
        width = self.dimension * self.data_type.itemsize
        # Read, not mapped: the kernel maps a whole file around a few of its pages, and all that would count as ours.
        for start in range(0, len(self.ids), size):
            places = self.places[start : start + size].tolist()
            rows = b"".join(os.pread(self.file.fileno(), width, place * width) for place in places)
            yield np.frombuffer(rows, self.data_type).reshape(len(places), self.dimension)


def spill(
    store: Store, ids: Iterable[str] | None, file: IO[bytes], *, prefix: str = "", fingerprint: str | None = None
) -> Spilled:
    """Read vectors from an open store into a file, in bounded memory; for the rest see `read`.

    Memory is about 300 bytes a vector, however long the vectors are.

    Args:
        file: empty, to be written and read; the caller closes it.
    """
    parts, asked = _selected(store, ids, prefix, fingerprint)
    names: list[str] = []
    data_type, dimension = np.dtype(np.float32), 0
    for part, vectors in parts:
        names += part
        data_type, dimension = vectors.dtype, vectors.shape[1]
        file.write(vectors.data)
    file.flush()
    order = _order(names, asked)
    return Spilled(
        file=file,
        data_type=data_type,
        dimension=dimension,
        ids=order,
        places=_places(names, order),
    )


def _selected(
    store: Store, ids: Iterable[str] | None, prefix: str, fingerprint: str | None
) -> tuple[Iterator[tuple[list[str], Vectors]], list[str] | None]:
    """Batches of what is wanted, in the store's order, and the ids that were asked for, None for all."""
    if ids is None:
        return batches(store, prefix=prefix, fingerprint=fingerprint), None
    asked = [each for each in ids if each.startswith(prefix)]
    stored = store.get(list(dict.fromkeys(asked)))
    return _batches(map(_block, stored), store.name, fingerprint, BATCH), asked


def _order(names: list[str], asked: list[str] | None) -> list[str]:
    if asked is None:
        return sorted(names)
    known = set(names)
    return [each for each in asked if each in known]


def _places(names: list[str], order: list[str]) -> np.ndarray:
    places = {name: place for place, name in enumerate(names)}
    return np.fromiter((places[name] for name in order), np.intp, len(order))


def batches(
    store: Store, *, prefix: str = "", fingerprint: str | None = None, size: int = BATCH
) -> Iterator[tuple[list[str], Vectors]]:
    """Read an open store a batch at a time; see `read_batches`."""
    return _batches(store.blocks(prefix), store.name, fingerprint, size)


def _batches(
    blocks: Iterator[Block], store: str, fingerprint: str | None, size: int
) -> Iterator[tuple[list[str], Vectors]]:
    counts: Counter[str] = Counter()
    shapes: set[tuple[str, int]] = set()
    ids: list[str] = []
    rows: list[bytes] = []
    for block in blocks:
        part = block if fingerprint is None else _only(block, fingerprint)
        counts.update(part.fingerprints)
        if len(counts) > 1:
            continue  # no batch any more, but the sentence below says how many there are of each
        shapes.update(zip(part.data_types, part.dimensions, strict=True))
        ids += part.image_ids
        rows += part.vectors
        while len(ids) >= size:
            yield ids[:size], _stack(rows[:size], shapes, store)
            del ids[:size], rows[:size]
    if len(counts) > 1:
        raise incomparable(store, [f"{kind or 'unknown'} ({count:,})" for kind, count in counts.most_common()])
    if ids:
        yield ids, _stack(rows, shapes, store)


def incomparable(store: str, kinds: Sequence[str]) -> ConfigurationError:
    """The error for vectors of several fingerprints where those of one are needed."""
    listed = ", ".join(kinds)
    return ConfigurationError(f"{store} holds vectors that cannot be compared: {listed}; choose with --fingerprint")


def _only(block: Block, fingerprint: str) -> Block:
    """The part of a block that one model and weights have made."""
    kept = [place for place, each in enumerate(block.fingerprints) if each == fingerprint]
    return Block(
        image_ids=[block.image_ids[place] for place in kept],
        fingerprints=[fingerprint] * len(kept),
        data_types=[block.data_types[place] for place in kept],
        dimensions=[block.dimensions[place] for place in kept],
        vectors=[block.vectors[place] for place in kept],
    )


def _block(stored: StoredVector) -> Block:
    return Block(
        image_ids=(stored.image_id,),
        fingerprints=(stored.fingerprint,),
        data_types=(stored.data_type,),
        dimensions=(stored.dimension,),
        vectors=(stored.vector,),
    )


def _stack(rows: Sequence[bytes], shapes: set[tuple[str, int]], store: str) -> Vectors:
    """The numbers of some vectors, (n, dimension), where all are of one shape."""
    name, dimension = next(iter(shapes))
    data_type = np.dtype(name).newbyteorder("<")
    if len(shapes) > 1 or set(map(len, rows)) != {dimension * data_type.itemsize}:
        raise ConfigurationError(
            f"{store} holds vectors whose bytes are not {dimension} numbers of {name}: something else has written to it"
        )
    vectors: Vectors = np.frombuffer(b"".join(rows), data_type).reshape(len(rows), dimension)
    return vectors
