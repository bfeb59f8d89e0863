"""`similar`: the stored images most like one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from embedder.errors import ConfigurationError
from embedder.indexes.search import Found, search, search_stored
from embedder.pipeline.progress import steps_shown
from embedder.records import Vectors
from embedder.stores import Store, open_store
from embedder.vectors.ids import as_stored, suggestions
from embedder.vectors.meaning import MEANINGLESS, is_random
from embedder.vectors.search import Match

if TYPE_CHECKING:
    from embedder.pipeline.handed import OneImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches(Sequence[Match]):
    """The stored images most like a query, the most similar first. Each has an `image_id` and a `score`, its cosine."""

    store: str
    query: str
    """The query's id, address or words; `the image` for one in memory."""
    text: bool
    """Whether the query is words."""
    stored: bool
    """Whether the query is a stored image, and so the first of the matches."""
    images: str | None
    """Where the pictures are; None for where they were embedded from."""
    random: bool
    """Whether the vectors were made with random weights, so that their cosines mean nothing."""
    searched_by: str | None
    """The index that was used; None where every vector was read. With an index, a match may be missing."""
    remark: str
    """Why an index that exists was not used, with the remedy: a sentence for the user; else empty."""
    matches: tuple[Match, ...]

    @overload
    def __getitem__(self, place: int) -> Match:
        """Return a match."""

    @overload
    def __getitem__(self, place: slice) -> Sequence[Match]:
        """Return some of the matches."""

    def __getitem__(self, place: int | slice) -> Match | Sequence[Match]:
        return self.matches[place]

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def __len__(self) -> int:
        return len(self.matches)

    def as_json(self) -> dict[str, Any]:
        """Return what `embedder similar --json` prints."""
        matches = [{"image_id": each.image_id, "score": round(each.score, 6)} for each in self]
        query = {"text" if self.text else "query": self.query}
        return {"store": self.store, **query, "index": self.searched_by, "matches": matches}

    def _repr_html_(self) -> str:
        from embedder.pages.similar import grid  # imports what draws pages, which few searches need

        with closing(open_store(self.store, must_exist=True)) as opened:
            return grid(opened, self.matches, images=self.images, note=MEANINGLESS if self.random else "")


def similar(
    store: str | Path,
    query: OneImage | None = None,
    k: int = 10,
    *,
    text: str | None = None,
    images: str | Path | None = None,
    prefix: str = "",
    fingerprint: str | None = None,
    weights: str | Path = "default",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    engine: str = "auto",
    progress: bool = True,
) -> Matches:
    """Find the stored images most like an image, or like what words say, as `embedder similar` does.

    Args:
        store: the store's name: `dynamodb://table`, or the path of a SQLite file.
        query: the id of a stored image, for which no model is loaded; else a path, an address, or whatever `Embedder`
            takes.
        k: how many.
        text: words in place of `query`, if the store's model reads them.
        images: where the pictures are that a notebook shows, a folder or an S3 prefix; None for where they were
            embedded from.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed if a store holds several.
        weights: those that made the store's vectors, for a query that is not stored.
        device: where the model runs then.
        engine: the library that runs it.
        progress: whether a notebook or a terminal shows how far the work has come.

    Returns:
        At most `k` matches, a sequence.

    Raises:
        ConfigurationError: there is no such store or image, the query cannot be embedded as the store's vectors
            were, or those are of several kinds.
        TransientError: the store does not answer, or the query cannot be read at the moment.
    """
    if k < 1:
        raise ConfigurationError(f"k={k}: expected 1 or more")
    if (query is None) == (text is None):
        raise ConfigurationError("expected one query: an image, or words as `text`")
    with closing(open_store(str(store), must_exist=True)) as opened, steps_shown(progress):
        found = None if query is None else _nearest_to_stored(opened, query, k, fingerprint, prefix)
        stored = found is not None
        if found is None:
            if query is None:
                vector = _worded(opened, text or "", fingerprint, weights=str(weights))
            else:
                vector = _embedded(opened, query, fingerprint, weights=str(weights), device=device, engine=engine)
            found = search(opened, vector, k, fingerprint=fingerprint, prefix=prefix)
        return Matches(
            store=str(store),
            query=text if text is not None else str(query) if isinstance(query, str | Path) else "the image",
            text=text is not None,
            stored=stored,
            images=None if images is None else str(images),
            random=is_random(opened, fingerprint),
            searched_by=found.index,
            remark=found.remark,
            matches=tuple(found.matches),
        )


def _nearest_to_stored(store: Store, query: OneImage, k: int, fingerprint: str | None, prefix: str) -> Found | None:
    if not isinstance(query, str | Path):
        return None
    (image_id,) = as_stored(store, [str(query)])
    return search_stored(store, image_id, k, fingerprint=fingerprint, prefix=prefix)


def _worded(store: Store, text: str, fingerprint: str | None, *, weights: str) -> Vectors:
    from embedder.vectors.query import embed_text, stored_fingerprint  # loads no model yet

    return embed_text(text, stored_fingerprint(store, fingerprint), store=store.name, weights=weights)


def _embedded(store: Store, query: OneImage, fingerprint: str | None, **options: Any) -> Vectors:
    """Embed a query that is not stored; say what may be meant if it is no file either."""
    if isinstance(query, str | Path) and "://" not in str(query) and not Path(query).exists():
        (near,) = suggestions(store, [str(query)])
        close = " or ".join(map(repr, near))
        remedy = f"did you mean {close}?" if close else "embedder read lists the ids"
        raise ConfigurationError(f"{str(query)!r} is neither an id in {store.name} nor a file; {remedy}")
    if isinstance(query, str | Path) and Path(query).is_dir():
        raise ConfigurationError(f"{query} is a folder; a query is one image, or the id of a stored one")
    from embedder.vectors.query import embed_query, stored_fingerprint  # loads no model yet

    return embed_query(query, stored_fingerprint(store, fingerprint), store=store.name, **options)
