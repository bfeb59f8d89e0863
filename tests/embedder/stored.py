"""Vectors as a store keeps them, made up, and short ways to ask a store what it has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from embedder.records import StoredVector
from embedder.stores import Store, open_store

FINGERPRINT = "resnet18/random/pre1/float32"


def stored(image_id: str, seed: int = 0, **changes: Any) -> StoredVector:
    """A stored vector of 512 numbers; `changes` are fields."""
    vector = np.random.default_rng(seed).normal(size=512).astype("<f4")
    fields = {
        "image_id": image_id,
        "vector": vector.tobytes(),
        "data_type": "float32",
        "dimension": 512,
        "created": "2026-11-05T10:00:00+00:00",
        "fingerprint": FINGERPRINT,
        "etag": f"etag-{seed}",
        "source": f"file:///pictures/{seed}.jpg",
        "modified": f"10-{seed}",
    }
    return StoredVector(**{**fields, **changes})


def many(count: int, prefix: str = "image-", **changes: Any) -> list[StoredVector]:
    return [stored(f"{prefix}{number:05d}", number, **changes) for number in range(count)]


@contextmanager
def opened(name: str) -> Iterator[Store]:
    """An open store, closed after the block."""
    store = open_store(name)
    try:
        yield store
    finally:
        store.close()


def fill(name: str, vectors: list[StoredVector]) -> None:
    """Write vectors as a run does, group by group."""
    with opened(name) as store:
        group = store.group or 1000
        for start in range(0, len(vectors), group):
            store.write(vectors[start : start + group])


def contents(name: str) -> dict[str, StoredVector]:
    """Everything in a store, by id."""
    with opened(name) as store:
        return {each.image_id: each for each in store.get([each.image_id for each in store.describe()])}
