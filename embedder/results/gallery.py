"""`gallery`: a page of a whole collection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from html import escape
from pathlib import Path

from embedder.pages import check_page
from embedder.pages.collection import make_gallery
from embedder.pages.labels import check_labels
from embedder.pipeline.progress import steps_shown
from embedder.stores import open_store
from embedder.vectors.duplicates import check_threshold

HEIGHT = 720
"""Pixels of a page in a notebook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A page that was written. A notebook shows the page itself, which its file then contains, too."""

    path: Path
    images: int
    without_picture: int
    """How many of the images lack their picture."""

    def _repr_html_(self) -> str:
        page = escape(self.path.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width:100%;height:{HEIGHT}px;border:0" title="gallery"></iframe>'


def gallery(
    store: str | Path,
    path: str | Path = "gallery.html",
    *,
    images: str | Path | None = None,
    failures: str | Path | None = None,
    threshold: float = 0.98,
    prefix: str = "",
    fingerprint: str | None = None,
    labels: Sequence[str] | None = None,
    weights: str | Path = "default",
    progress: bool = True,
) -> Gallery:
    """Write one page of a whole collection, as `embedder gallery` does.

    Args:
        store: the store's name: `dynamodb://table`, or the path of a SQLite file.
        path: the page to write.
        images: where the pictures are, a folder or an S3 prefix; None for where they were embedded from.
        failures: a file that `embed(…, failures=…)` wrote, to be shown.
        threshold: the least cosine of near-duplicates at first.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed if a store holds several.
        labels: words or phrases, of which each region of the map shows the one nearest to what its images show; the
            store's model has to read words. None for the folder that a region's images share.
        weights: those that made the store's vectors, for the labels.
        progress: whether a notebook or a terminal shows how far the work has come.

    Raises:
        ConfigurationError: there is no such store, no image matches, too many do, a file cannot be read or written,
            there are fewer than two labels, or the store's model reads no words.
        TransientError: the store or S3 does not answer, or the disk is full.
    """
    page = Path(path)
    check_threshold(threshold)
    check_page(page)
    words = [] if labels is None else check_labels(labels)
    with closing(open_store(str(store), must_exist=True)) as opened, steps_shown(progress):
        shown, without = make_gallery(
            page,
            opened,
            images=None if images is None else str(images),
            failures=None if failures is None else Path(failures),
            threshold=threshold,
            prefix=prefix,
            fingerprint=fingerprint,
            labels=words,
            weights=str(weights),
        )
    return Gallery(path=page, images=shown, without_picture=without)
