"""What an index beside a store costs and gives: `python -m scripts.bench_index COUNT --store F`.

The vectors are made up, and made to be as uneven as those of photographs: cluster centres whose coordinates' variances
fall as those of ResNet18's vectors do, clusters of very different sizes, a few directions of variation within each, and
a fiftieth of near-duplicates. Negative numbers become 0, as ResNet's last activation makes them.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from embedder.indexes import kind_for
from embedder.records import StoredVector, Vectors
from embedder.results.duplicates import duplicates
from embedder.results.similar import Matches, similar
from embedder.stores import open_store
from embedder.vectors.search import nearest

DIMENSION = 512
BLOCK = 20_000
EXACTLY = 20
"""Queries that are also answered by reading everything."""
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


def measure(path: Path, queries: int, *, exact: bool) -> dict[str, Any]:
    """Search a store that has an index by ids of its own, in both ways, and find its near-duplicates."""
    chance = np.random.default_rng(1)
    with closing(open_store(str(path))) as store:
        ids = [each.image_id for each in store.describe()]
    chosen = [ids[place] for place in chance.choice(len(ids), queries, replace=False)]
    quick, found = zip(*(timed(partial(similar, path, each)) for each in chosen), strict=True)
    some = chosen[:EXACTLY]
    recall = [_recall(path, each, quickly) for each, quickly in zip(some, found, strict=False)]
    seconds, groups = timed(lambda: duplicates(path))
    made = {
        "vectors": len(ids),
        "index_bytes": Path(f"{path}.index").stat().st_size,
        "search_seconds": {"first": quick[0], "median": float(np.median(quick)), "most": max(quick)},
        "searched_by": found[0].searched_by,
        "recall_at_10": float(np.mean(recall)),
        "duplicates_seconds": seconds,
        "duplicates": groups.headline(),
        "pair_recall_measured_by_index": groups.pair_recall,
    }
    if exact:
        seconds, all_groups = timed(lambda: duplicates(path, exact=True))
        members = [{each.image_id for group in some for each in group.members} for some in (groups, all_groups)]
        made |= {
            "exact_duplicates_seconds": seconds,
            "exact_duplicates": all_groups.headline(),
            "share_of_images_found": len(members[0] & members[1]) / max(1, len(members[1])),
        }
    return {**made, "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def _recall(path: Path, image_id: str, found: Matches) -> float:
    """Return the share of the ten nearest, by reading everything, that a search found."""
    with closing(open_store(str(path))) as store:
        vector = next(iter(store.get([image_id]))).vector
        best = nearest(store, np.frombuffer(vector, np.float32), len(found))
    return len({each.image_id for each in best} & {each.image_id for each in found}) / len(best)


def main() -> None:
    """Fill a store unless it is there, make its index unless that is there, measure, and print JSON."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("count", type=int, help="how many vectors")
    command.add_argument("--store", type=Path, required=True, help="the file; made if it does not exist")
    command.add_argument("--queries", type=int, default=50, help="searches by id")
    command.add_argument("--exact", action="store_true", help="find the near-duplicates in the exact way, too")
    arguments = command.parse_args()
    if not arguments.store.exists():
        print(f"filled in {timed(lambda: fill(arguments.store, arguments.count))[0]:.0f} s", file=sys.stderr)
    if not Path(f"{arguments.store}.index").exists():
        with closing(open_store(str(arguments.store))) as store:
            kind = kind_for(store)
            assert kind is not None
            print(json.dumps(kind.make(None).as_json()))
    print(json.dumps(measure(arguments.store, arguments.queries, exact=arguments.exact), indent=2))


if __name__ == "__main__":
    main()
