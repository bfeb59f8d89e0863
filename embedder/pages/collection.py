"""A whole collection on one page: `embedder gallery`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedder.errors import ConfigurationError
from embedder.pages import layout
from embedder.pages.gallery import MOST_IMAGES, Collection, Mosaic, thumbnail_side, write_gallery
from embedder.pages.refinement import refine
from embedder.pages.thumbnails import locate, thumbnails
from embedder.records import VectorInfo, Vectors
from embedder.stores import Store
from embedder.vectors import search
from embedder.vectors.duplicates import group
from embedder.vectors.reader import select

NEIGHBOURS = 12
OUTLIERS = 36
SHOWN_FAILURES = 2000
"""More of a run's failures than this are counted, and not listed on the page."""
FAILURE_FIELDS = ("image_id", "stage", "error", "message")


def make_gallery(
    path: Path,
    store: Store,
    *,
    images: str | None,
    failures: Path | None,
    threshold: float,
    prefix: str = "",
    fingerprint: str | None = None,
) -> tuple[int, int]:
    """Write the page of a store's images, at most `MOST_IMAGES` of them.

    Args:
        images: where the pictures are; None: where they were embedded from.
        failures: what a run wrote with `--failures`.
        threshold: the least cosine of near-duplicates.

    Returns:
        How many images the page shows, and how many of them without their picture.

    Raises:
        ConfigurationError: nothing fits, too much does, or a file cannot be read or written.
        TransientError: the store or S3 does not answer, or the disk is full.
    """
    failed = None if failures is None else read_failures(failures)
    ids, vectors = select(store, None, prefix=prefix, fingerprint=fingerprint)
    if not ids:
        raise ConfigurationError(f"no vector in {store.name} fits; there is nothing to show")
    if len(ids) > MOST_IMAGES:
        raise ConfigurationError(
            f"{store.name} has {len(ids):,} images and a page shows at most {MOST_IMAGES:,}; choose some with --prefix"
        )
    known = store.lookup(ids)
    references = locate([known[each] for each in ids if each in known], images)
    collection = _describe(store.name, ids, vectors, list(known.values()), threshold, failed)
    mosaic = Mosaic(collection.columns, collection.rows, thumbnail_side(len(ids)))
    places = {each: place for place, each in enumerate(ids)}
    missing = dict.fromkeys(range(len(ids)), "deleted meanwhile")
    for each in thumbnails(references, mosaic.side):
        place = places[each.image_id]
        mosaic.put(collection.cells[place], each.pixels)
        missing[place] = each.reason
    missing = {place: reason for place, reason in missing.items() if reason}
    write_gallery(path, collection, mosaic, missing)
    return len(ids), len(missing)


def read_failures(path: Path) -> list[dict[str, str]]:
    """What a run wrote with `--failures`.

    Raises:
        ConfigurationError: it is not there, or is something else.
    """
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        return [{name: str(row[name]) for name in FAILURE_FIELDS} for row in rows]
    except OSError as error:
        raise ConfigurationError(f"--failures {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"--failures {path} is not what embedder run --failures writes, one JSON object a line: {error!r}"
        ) from None


def _describe(
    store: str,
    ids: Sequence[str],
    vectors: Vectors,
    known: Sequence[VectorInfo],
    threshold: float,
    failures: list[dict[str, str]] | None,
) -> Collection:
    units = search.unit(vectors)
    near, scores = search.neighbours(units, NEIGHBOURS)
    cells, columns, rows = layout.grid(units)
    cells = refine(cells, columns, near, scores)
    alikeness = scores.mean(axis=1) if scores.shape[1] else np.ones(len(ids))
    strange = np.argsort(alikeness, kind="stable")[: min(OUTLIERS, len(ids))]
    numbers = list(map(str, range(len(ids))))
    groups = group(numbers, vectors.astype(np.float32, copy=False), threshold)
    figures = [
        ("Vectors", f"{len(ids):,} of dimension {vectors.shape[1]}"),
        *((f"Made by ({count:,})", name or "unknown") for name, count in _fingerprints(known)),
        ("Newest", max((each.created for each in known), default="")),
        ("Near-duplicates", f"{sum(len(each.members) for each in groups):,} images in {len(groups):,} groups"),
        *([] if failures is None else [("Failures", _counted(failures))]),
    ]
    return Collection(
        store=store,
        ids=ids,
        cells=cells.tolist(),
        columns=columns,
        rows=rows,
        neighbours=list(zip(near.tolist(), np.round(scores, 3).astype(float).round(3).tolist(), strict=True)),
        groups=[
            ([int(each.image_id) for each in one.members], [round(each.score, 3) for each in one.members])
            for one in groups
        ],
        threshold=threshold,
        outliers=(strange.tolist(), alikeness[strange].astype(float).round(3).tolist()),
        failures=None if failures is None else failures[:SHOWN_FAILURES],
        figures=figures,
    )


def _fingerprints(known: Sequence[VectorInfo]) -> list[tuple[str, int]]:
    return Counter(each.fingerprint for each in known).most_common()


def _counted(failures: Sequence[dict[str, str]]) -> str:
    causes = Counter(f"{each['stage']}: {each['error']}" for each in failures)
    return "; ".join([f"{len(failures):,}", *(f"{cause} ({count:,})" for cause, count in causes.most_common())])
