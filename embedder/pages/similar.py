"""The page of `embedder similar`: a query and the pictures most like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from embedder.pages import filled, webp, write_page
from embedder.pages.thumbnails import Thumbnail, as_stored, locate, thumbnails
from embedder.records import Reference, VectorInfo
from embedder.sources import S3_SCHEME
from embedder.sources.folder import file_uri
from embedder.stores import Store
from embedder.vectors.meaning import made_at_random
from embedder.vectors.search import Match

SIDE, SMALL_SIDE = 256, 96
"""Pixels of a picture, and of one of many: about 12 and 3 kB."""
MANY = 200
GRID_SIDE = 144


def write_similar(
    path: Path,
    store: Store,
    query: str,
    found: Sequence[Match],
    *,
    images: str | None,
    stored: bool,
    text: bool = False,
) -> None:
    """Write the page.

    Args:
        images: where the pictures are; None for where they were embedded from.
        stored: whether the query is one of the stored images, and so the first of those found. The page shows it
            at the top, and not once more among the others.
        text: whether the query is words, which have no picture.

    Raises:
        ConfigurationError: there is no such place for pictures, or the page cannot be written.
        TransientError: the store or S3 does not answer, or the disk is full.
    """
    known = store.lookup([each.image_id for each in found])
    references = locate([known[each.image_id] for each in found if each.image_id in known], images)
    side = SIDE if len(found) <= MANY else SMALL_SIDE
    own = Reference(image_id="\0query", uri=query if query.startswith(S3_SCHEME) else file_uri(Path(query)))
    made = {each.image_id: each for each in thumbnails(references if stored or text else [*references, own], side)}
    pictures, encoded = _drawn(found, made)
    asked = made.get(own.image_id)
    addresses = {each.image_id: each.uri for each in references}
    told = [
        _told(each, known.get(match.image_id), addresses.get(match.image_id, ""))
        for match, each in zip(found, pictures, strict=True)
    ]
    fingerprint = next((each.fingerprint for each in known.values()), "")
    first = int(stored)
    write_page(
        path,
        "similar.html",
        ["scripts/elements.js", "scripts/similar.js"],
        data={
            "matches": told[first:],
            "query": told[0] if stored and told else _told(asked, None, "") if asked else None,
        },
        query=f"“{query}”" if text else query,
        picture=encoded[0]
        if stored and encoded
        else webp(asked.pixels)
        if asked and asked.pixels is not None
        else None,
        store=store.name,
        fingerprint=fingerprint,
        random=made_at_random(fingerprint),
        side=side,
        matches=[
            {"image_id": match.image_id, "score": match.score, "picture": picture, "reason": each.reason}
            for match, picture, each in list(zip(found, encoded, pictures, strict=True))[first:]
        ],
    )


def grid(store: Store, found: Sequence[Match], *, images: str | None, note: str = "") -> str:
    """Return the pictures of some matches side by side, as HTML without scripts, for a notebook.

    Args:
        note: a sentence above them.

    Raises:
        ConfigurationError: there is no such place for pictures.
        TransientError: the store or S3 does not answer.
    """
    known = store.lookup([each.image_id for each in found])
    made = {each.image_id: each for each in thumbnails(locate(known.values(), images), GRID_SIDE)}
    pictures, encoded = _drawn(found, made)
    reasons = [each.reason for each in pictures]
    return filled("grid.html", side=GRID_SIDE, note=note, matches=list(zip(found, encoded, reasons, strict=True)))


def _told(picture: Thumbnail, stored: VectorInfo | None, address: str) -> dict[str, object]:
    """Return what the page says of a picture besides its name."""
    known = picture if stored is None else as_stored(picture, stored)
    return {
        "source": address,
        "width": known.width,
        "height": known.height,
        "bytes": known.bytes,
        "format": known.format,
        "modified": known.modified,
        "taken": (stored and stored.taken) or "",
        "embedded": stored.created[:10] if stored else "",
    }


def _drawn(found: Sequence[Match], made: Mapping[str, Thumbnail]) -> tuple[list[Thumbnail], list[str | None]]:
    """Return each match's thumbnail, and its picture as a page shows it: None where there is none."""
    gone = Thumbnail(image_id="", pixels=None, reason="deleted meanwhile")
    pictures = [made.get(each.image_id, gone) for each in found]
    return pictures, [None if each.pixels is None else webp(each.pixels) for each in pictures]
