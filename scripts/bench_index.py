"""What an index beside a store costs and gives; `scripts/bench_index --help`.

The vectors are made up, and made to be as uneven as those of photographs: cluster centres whose coordinates' variances
fall as those of ResNet18's vectors do, clusters of very different sizes, a few directions of variation within each, and
a fiftieth of near-duplicates. Negative numbers become 0, as ResNet's last activation makes them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from embedder.records import StoredVector, Vectors
from embedder.stores import open_store

DIMENSION = 512
BLOCK = 20_000
OWN_DIRECTIONS = 24
DUPLICATES = 50
"""One vector in so many is a near-duplicate of the one before."""


def made_up(count: int, seed: int = 7) -> Iterator[Vectors]:
    """Yield `count` vectors, (at most BLOCK, 512) float32."""
    chance = np.random.default_rng(seed)
    clusters = max(20, count // 250)
    spread = (1 + np.arange(DIMENSION)) ** -0.5
    turn = np.linalg.qr(chance.normal(size=(DIMENSION, DIMENSION)))[0].astype(np.float32)
    centres = (chance.normal(size=(clusters, DIMENSION)) * spread).astype(np.float32) @ turn
    weights = chance.pareto(1.2, clusters) + 0.1
    shared = chance.normal(size=(64, OWN_DIRECTIONS, DIMENSION)).astype(np.float32) * spread.astype(np.float32) @ turn
    for start in range(0, count, BLOCK):
        size = min(BLOCK, count - start)
        own = chance.choice(clusters, size, p=weights / weights.sum())
        amounts = chance.normal(size=(size, OWN_DIRECTIONS)).astype(np.float32) * 0.15
        rows = centres[own]
        for kind in range(len(shared)):
            chosen = np.flatnonzero(own % len(shared) == kind)
            rows[chosen] += amounts[chosen] @ shared[kind]
        rows += chance.normal(size=rows.shape).astype(np.float32) * 0.02
        rows[DUPLICATES::DUPLICATES] = rows[DUPLICATES - 1 : -1 : DUPLICATES][: len(rows[DUPLICATES::DUPLICATES])]
        rows[DUPLICATES::DUPLICATES] += chance.normal(size=rows[DUPLICATES::DUPLICATES].shape).astype(np.float32) * 0.01
        yield np.maximum(rows + 0.1, 0)


def fill(path: Path, count: int) -> None:
    """Write a store of made-up vectors."""
    number = 0
    with closing(open_store(str(path))) as store:
        for rows in made_up(count):
            store.write(
                [
                    StoredVector(
                        image_id=f"{place % 100:02}/photo-{place:07}.jpg",
                        vector=row.tobytes(),
                        data_type="float32",
                        dimension=DIMENSION,
                        created="2026-11-28T00:00:00+00:00",
                        fingerprint="resnet18/f37072fd/pre1/float32",
                        etag=f"etag-{place}",
                        source=f"s3://bucket/{place:07}.jpg",
                    )
                    for place, row in enumerate(rows, number)
                ]
            )
            number += len(rows)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that a call takes, and what it returns."""
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result
