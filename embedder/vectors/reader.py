"""Reading stored vectors as numpy arrays. Never imports torch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import repeat
from operator import attrgetter, is_not
from pathlib import Path
from typing import IO, Any

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import BLOCK_ATTRIBUTES, METADATA_ATTRIBUTES, Block, StoredVector, Vectors, numbers_of
from embedder.stores import Store, open_store
from embedder.system.steps import step
from embedder.system.threads import grouped

BATCH = 4096
"""Vectors at a time: eight megabytes of 512 float32."""

ROWS = 1000
"""Vectors in a block of those that were asked for by id."""
ROW = attrgetter(*(each.field for each in BLOCK_ATTRIBUTES))
FULL_ROW = attrgetter(*(each.field for each in BLOCK_ATTRIBUTES + METADATA_ATTRIBUTES))

LARGEST_SCALE = float(np.finfo(np.float32).max)


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
        ids: the images wanted; None for all of them.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed if a store holds several.

    Returns:
        The ids, and the vectors as (n, dimension), row for row. Their dtype is the stored one; vectors stored with a
        scale are float32. They are in the order of `ids`, without those that are not stored; if `ids` is None, sorted
        by id.

    Raises:
        ConfigurationError: there is no such store, or the vectors are of several kinds.
        TransientError: the store does not answer.
    """
    with closing(open_store(str(store), must_exist=True)) as opened:
        return select(opened, ids, prefix=prefix, fingerprint=fingerprint)


def read_batches(
    store: str | Path, *, prefix: str = "", fingerprint: str | None = None, size: int = BATCH
) -> Iterator[tuple[list[str], Vectors]]:
    """Read vectors a batch at a time, from a store that does not fit into memory.

    Args:
        store: the store's name: `dynamodb://table`, or the path of a SQLite file.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed if a store holds several.
        size: vectors in a batch; the last batch may have fewer.

    Yields:
        Ids, and their vectors as (n, dimension), row for row; for their dtype see `read`. The order is the store's
        own, and the same every time.

    Raises:
        ConfigurationError: there is no such store, or the vectors are of several kinds. That they are may be found
            only after some batches; no batch mixes kinds.
        TransientError: the store does not answer.
    """
    with closing(open_store(str(store), must_exist=True)) as opened:
        yield from batches(opened, prefix=prefix, fingerprint=fingerprint, size=size)


def select(
    store: Store, ids: Iterable[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> tuple[list[str], Vectors]:
    """Read vectors from an open store; see `read`."""
    parts, asked = _selected(store, ids, prefix, fingerprint)
    found = list(parts)
    names = [each for part, _ in found for each in part]
    order = _in_order(names, asked)
    if not found:
        return [], np.empty((0, 0), np.float32)
    rows = np.concatenate([vectors for _, vectors in found])
    del found  # else the vectors would be in memory three times
    return order, rows[_places(names, order)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spilled:
    """Vectors in a file, in the store's order, and the order in which they are wanted."""

    file: IO[bytes]
    data_type: np.dtype[Any]
    dimension: int
    ids: list[str]
    """In the order wanted. An id may be here several times; the file has its vector once."""
    places: np.ndarray
    """The row in the file for each id, (n,)."""
    metadata: Mapping[str, Sequence[Any]]
    """The values of `METADATA_ATTRIBUTES` for each id that has any, if they were asked for."""

    def chunks(self, size: int = BATCH) -> Iterator[Vectors]:
        """Yield the vectors of `ids`, (at most `size`, dimension)."""
        width = self.dimension * self.data_type.itemsize
        # Read, not mapped: the kernel maps much of a file around each page that is touched, and all of it counts as
        # this process's memory.
        for start in range(0, len(self.ids), size):
            places = self.places[start : start + size].tolist()
            rows = b"".join(os.pread(self.file.fileno(), width, place * width) for place in places)
            yield np.frombuffer(rows, self.data_type).reshape(len(places), self.dimension)


def spill(
    store: Store,
    ids: Iterable[str] | None,
    file: IO[bytes],
    *,
    prefix: str = "",
    fingerprint: str | None = None,
    metadata: bool = False,
) -> Spilled:
    """Read vectors from an open store into a file; for the rest see `read`.

    It takes about 300 bytes of memory for each vector, however long the vectors are, and as much again for metadata.

    Args:
        file: empty, open for writing and reading; the caller closes it.
        metadata: whether to read the metadata, too.
    """
    noted: dict[str, Sequence[Any]] = {}
    parts, asked = _selected(store, ids, prefix, fingerprint, noted if metadata else None)
    names: list[str] = []
    data_type, dimension = np.dtype(np.float32), 0
    with step("reading vectors", unit="vectors") as advance:
        for part, vectors in parts:
            names += part
            data_type, dimension = vectors.dtype, vectors.shape[1]
            file.write(vectors.data)
            advance(len(part))
    file.flush()
    order = _in_order(names, asked)
    return Spilled(
        file=file,
        data_type=data_type,
        dimension=dimension,
        ids=order,
        places=_places(names, order),
        metadata=noted,
    )


def batches(
    store: Store, *, prefix: str = "", fingerprint: str | None = None, size: int = BATCH
) -> Iterator[tuple[list[str], Vectors]]:
    """Read an open store a batch at a time; see `read_batches`."""
    return _batches(store.blocks(prefix), store.name, fingerprint, size)


def numbers(stored: StoredVector, store: str) -> Vectors:
    """Return one vector as an array, (dimension,).

    Args:
        store: its store's name, for the sentence.

    Raises:
        ConfigurationError: its bytes are not what it says of them.
    """
    shape = (stored.data_type, stored.dimension, stored.scale is not None)
    vector: Vectors = _stacked([stored.vector], [stored.scale], {shape}, store)[0]
    return vector


def incomparable(store: str, kinds: Sequence[str]) -> ConfigurationError:
    """Return the error for vectors of several fingerprints where those of one are needed."""
    listed = ", ".join(kinds)
    return ConfigurationError(f"{store} holds vectors that cannot be compared: {listed}; choose with --fingerprint")


def _selected(
    store: Store,
    ids: Iterable[str] | None,
    prefix: str,
    fingerprint: str | None,
    metadata: dict[str, Sequence[Any]] | None = None,
) -> tuple[Iterator[tuple[list[str], Vectors]], list[str] | None]:
    """Return batches of what is wanted, in the store's order, and the ids that were asked for, None for all.

    Args:
        metadata: gets that of each vector as it is read; None if it is not wanted.
    """
    asked = None if ids is None else [each for each in ids if each.startswith(prefix)]
    if asked is None:
        blocks = store.blocks(prefix) if metadata is None else store.blocks(prefix, metadata=True)
    else:
        row = ROW if metadata is None else FULL_ROW
        stored = store.get(list(dict.fromkeys(asked)))
        blocks = (Block.of(map(row, group)) for group in grouped(stored, ROWS))
    if metadata is not None:
        blocks = _noting(blocks, metadata)
    return _batches(blocks, store.name, fingerprint, BATCH), asked


def _noting(blocks: Iterator[Block], metadata: dict[str, Sequence[Any]]) -> Iterator[Block]:
    """Note the metadata of the vectors that have any, as their blocks pass."""
    for block in blocks:
        rows = zip(block.image_ids, zip(*block.metadata, strict=True), strict=True)
        metadata.update((image_id, row) for image_id, row in rows if any(value is not None for value in row))
        yield block


def _in_order(names: list[str], asked: list[str] | None) -> list[str]:
    """Return the stored ids in the order wanted: as they were asked for, else sorted."""
    if asked is None:
        return sorted(names)
    known = set(names)
    return [each for each in asked if each in known]


def _places(names: list[str], order: list[str]) -> np.ndarray:
    """Return the place in `names` of each id in `order`, (n,)."""
    places = {name: place for place, name in enumerate(names)}
    return np.fromiter((places[name] for name in order), np.intp, len(order))


def _batches(
    blocks: Iterator[Block], store: str, fingerprint: str | None, size: int
) -> Iterator[tuple[list[str], Vectors]]:
    counts: Counter[str] = Counter()
    shapes: set[tuple[str, int, bool]] = set()
    ids: list[str] = []
    rows: list[bytes] = []
    scales: list[float | None] = []
    for block in blocks:
        part = block if fingerprint is None else block.only(fingerprint)
        counts.update(part.fingerprints)
        if len(counts) > 1:
            continue  # nothing more is yielded, but the sentence below says how many there are of each
        scaled = map(is_not, part.scales, repeat(None))
        shapes.update(zip(part.data_types, part.dimensions, scaled, strict=True))
        ids += part.image_ids
        rows += part.vectors
        scales += part.scales
        while len(ids) >= size:
            yield ids[:size], _stacked(rows[:size], scales[:size], shapes, store)
            del ids[:size], rows[:size], scales[:size]
    if len(counts) > 1:
        raise incomparable(store, [f"{kind or 'unknown'} ({count:,})" for kind, count in counts.most_common()])
    if ids:
        yield ids, _stacked(rows, scales, shapes, store)


def _stacked(
    rows: Sequence[bytes], scales: Sequence[float | None], shapes: set[tuple[str, int, bool]], store: str
) -> Vectors:
    """Return some vectors as one array, (n, dimension).

    Args:
        rows: the vectors' bytes.
        scales: what each one's numbers are multiplied by.
        shapes: data type, dimension, and whether there is a scale; of all vectors so far.
        store: its name, for the sentence.

    Raises:
        ConfigurationError: they have several shapes, or bytes that are not what they say.
    """
    name, dimension, scaled = next(iter(shapes))
    kind = np.sctypeDict.get(name, np.void)
    data_type = np.dtype(kind)
    factors = [scale for scale in scales if scale is not None]
    fits = data_type.kind in "fiu" and set(map(len, rows)) == {dimension * data_type.itemsize}
    if len(shapes) > 1 or not fits or not (np.abs(factors) <= LARGEST_SCALE).all():
        raise ConfigurationError(
            f"{store} holds vectors whose bytes are not {dimension} numbers of {name}: something else has written to it"
        )
    return numbers_of(rows, data_type, factors if scaled else None)
