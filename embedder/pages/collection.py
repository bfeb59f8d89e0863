"""A whole collection on one page: `embedder gallery`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from embedder.errors import ConfigurationError
from embedder.pages import layout, webp
from embedder.pages.gallery import MOST_IMAGES, Collection, PageGroup, preview_side, square_side, write_gallery
from embedder.pages.labels import labelled
from embedder.pages.mosaic import Mosaic
from embedder.pages.refinement import refine
from embedder.pages.regions import regions
from embedder.pages.sketches import sketch
from embedder.pages.thumbnails import Thumbnail, as_stored, locate, thumbnails
from embedder.records import Reference, VectorInfo, Vectors
from embedder.stores import Store
from embedder.system.steps import step
from embedder.vectors import search
from embedder.vectors.duplicates import group
from embedder.vectors.meaning import made_at_random
from embedder.vectors.reader import select

NEIGHBOURS = 12
OUTLIERS = 36
SHOWN_FAILURES = 2000
"""The most failures that a page lists; all are counted."""
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
    labels: Sequence[str] = (),
    weights: str = "default",
) -> tuple[int, int]:
    """Write the page of a store's images, at most `MOST_IMAGES`.

    Args:
        images: where the pictures are; None for where they were embedded from.
        failures: the file that a run wrote with `--failures`.
        threshold: the least cosine of near-duplicates.
        labels: two or more words from which each region gets one; empty for none.
        weights: those that made the vectors, which the labels need.

    Returns:
        The number of images on the page, and how many of them lack their picture.

    Raises:
        ConfigurationError: no image matches, too many do, a file cannot be read or written, or the store's model reads
            no words.
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
    texts = _texts(labels, store.name, known, weights)
    with step("laying out the map"):
        collection = _describe(store.name, ids, vectors, known, references, threshold, failed)
        if texts is not None:
            named = labelled(collection.regions, search.unit(vectors), labels, texts)
            collection = replace(collection, regions=named)
    mosaic = Mosaic(collection.columns, collection.rows, square_side(len(ids)))
    pictures, previews = _pictures(collection, references, known, mosaic)
    groups = _groups(ids, vectors, pictures, threshold)
    with step(f"writing {path.name}"):
        write_gallery(path, collection, mosaic, pictures, previews, groups)
    return len(ids), sum(bool(each.reason) for each in pictures)


def _texts(labels: Sequence[str], store: str, known: Mapping[str, VectorInfo], weights: str) -> Vectors | None:
    """Return the labels' vectors, (labels, dimension), made as those of the images were; None without labels."""
    if not labels:
        return None
    from embedder.vectors.query import embed_labels  # imports what loads models, which most pages do without

    made_by = next((each.fingerprint for each in known.values()), "")
    with step("embedding the labels"):
        return embed_labels(labels, made_by, store=store, weights=weights)


def _pictures(
    collection: Collection, references: Sequence[Reference], known: Mapping[str, VectorInfo], mosaic: Mosaic
) -> tuple[list[Thumbnail], dict[int, str]]:
    """Fill the mosaic; return what is known of each image's file, without pixels, and the previews that there are."""
    places = {each: place for place, each in enumerate(collection.ids)}
    pictures = [Thumbnail(image_id=each, pixels=None, reason="deleted meanwhile") for each in collection.ids]
    previews: dict[int, str] = {}
    for each in thumbnails(references, mosaic.side, preview_side(len(pictures))):
        place = places[each.image_id]
        mosaic.put(collection.cells[place], each.pixels)
        if each.preview is not None:
            previews[place] = webp(each.preview)
        pictures[place] = replace(each, pixels=None, preview=None)
    return [as_stored(each, known[each.image_id]) if each.image_id in known else each for each in pictures], previews


def _groups(ids: Sequence[str], vectors: Vectors, pictures: Sequence[Thumbnail], threshold: float) -> list[PageGroup]:
    """Group near-duplicates around the image with the most pixels, the most bytes, the first id."""
    worth = {each.image_id: (each.width * each.height, each.bytes) for each in pictures}
    places = {each: place for place, each in enumerate(ids)}
    found = group(ids, vectors.astype(np.float32, copy=False), threshold, lambda _: worth)
    return [
        PageGroup(images=[places[each.image_id] for each in one.members], scores=[each.score for each in one.members])
        for one in found
    ]


def read_failures(path: Path) -> list[dict[str, str]]:
    """Read the file that a run wrote with `--failures`.

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
    known: Mapping[str, VectorInfo],
    references: Sequence[Reference],
    threshold: float,
    failures: list[dict[str, str]] | None,
) -> Collection:
    units = search.unit(vectors)
    near, scores = search.neighbours(units, NEIGHBOURS)
    points = layout.leading(units)
    cells, columns, rows = layout.grid(points)
    cells = refine(cells, columns, near, scores)
    alikeness = scores.mean(axis=1) if scores.shape[1] else np.ones(len(ids))
    strange = np.argsort(alikeness, kind="stable")[: min(OUTLIERS, len(ids))]
    addresses = {each.image_id: each.uri for each in references}
    fingerprint = next((each.fingerprint for each in known.values()), "")
    figures = [
        ("Vectors", f"{len(ids):,} of dimension {vectors.shape[1]:,}"),
        ("Made by", fingerprint or "unknown"),
        ("Newest", max((each.created for each in known.values()), default="")),
        *([] if failures is None else [("Failures", _counted(failures))]),
    ]
    return Collection(
        store=store,
        fingerprint=fingerprint,
        random=made_at_random(fingerprint),
        ids=ids,
        addresses=[addresses.get(each, "") for each in ids],
        embedded=[known[each].created[:10] if each in known else "" for each in ids],
        taken=[known[each].taken or "" if each in known else "" for each in ids],
        cells=cells.tolist(),
        columns=columns,
        rows=rows,
        regions=regions(points, cells, columns, ids),
        sketches=sketch(units, points),
        neighbours=list(zip(near.tolist(), scores.tolist(), strict=True)),
        outliers=(strange.tolist(), alikeness[strange].tolist()),
        threshold=threshold,
        failures=None if failures is None else failures[:SHOWN_FAILURES],
        figures=figures,
    )


def _counted(failures: Sequence[dict[str, str]]) -> str:
    causes = Counter(f"{each['stage']}: {each['error']}" for each in failures)
    return "; ".join([f"{len(failures):,}", *(f"{cause} ({count:,})" for cause, count in causes.most_common())])
