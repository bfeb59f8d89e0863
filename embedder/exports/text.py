"""Vectors as lines of text, whose numbers give the same vector again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from embedder.records import Vectors
from embedder.stores import Store
from embedder.system.files import temporary_file
from embedder.vectors.reader import batches, spill

DIGITS = {2: "%.5g", 4: "%.9g", 8: "%.17g"}
"""How a float is written, by its bytes, so that it is the same float when it is read."""


def number_format(data_type: np.dtype[Any], dimension: int, separator: str) -> str:
    """Return the format of a vector as text, whose numbers give those of its dtype again when they are read."""
    return separator.join([DIGITS.get(data_type.itemsize, "%r") if data_type.kind == "f" else "%d"] * dimension)


def text_rows(
    store: Store, ids: Iterable[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield each vector's id, its kind (`512 x float32`) and its numbers, separated by tabs, in bounded memory.

    Those of `ids` come in their order, which takes a temporary file; without ids, all come in the store's order.
    """
    if ids is None:
        found = batches(store, prefix=prefix, fingerprint=fingerprint)
    else:
        found = _asked(store, ids, prefix, fingerprint)
    for names, vectors in found:
        kind = f"{vectors.shape[1]} x {vectors.dtype}"
        form = number_format(vectors.dtype, vectors.shape[1], "\t")
        for name, vector in zip(names, vectors.tolist(), strict=True):
            yield name, kind, form % tuple(vector)


def _asked(
    store: Store, ids: Iterable[str], prefix: str, fingerprint: str | None
) -> Iterator[tuple[list[str], Vectors]]:
    with temporary_file("the vectors that were asked for") as file:
        spilled = spill(store, ids, file, prefix=prefix, fingerprint=fingerprint)
        names = iter(spilled.ids)
        for chunk in spilled.chunks():
            yield [next(names) for _ in chunk], chunk
