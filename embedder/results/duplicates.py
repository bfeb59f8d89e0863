"""`duplicates`: groups of near-duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from embedder.indexes import CellIndex, UnusableIndexError, kind_for
from embedder.pipeline.notebook import table
from embedder.pipeline.progress import steps_shown
from embedder.stores import Store, open_store
from embedder.vectors.duplicates import Group, check_threshold, find_duplicates
from embedder.vectors.meaning import MEANINGLESS, is_random

SHOWN_GROUPS = 20
"""The most groups that a person is shown."""
SHOWN_MEMBERS = 10
"""The most images of a group that a person is shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates(Sequence[Group]):
    """The groups of near-duplicates in a store, the largest first.

    A group's `members` have an `image_id` and a `score`, the cosine to the first member, which is the one to keep.
    """

    store: str
    threshold: float
    vectors: int
    """How many vectors were compared."""
    random: bool
    """Whether the vectors were made with random weights, so that their cosines mean nothing."""
    searched_by: str | None
    """The index whose cells were compared; None where every pair was found."""
    pair_recall: float | None
    """With an index, the share of pairs that it finds, measured on a sample when it was made; None if not known."""
    remark: str
    """Why an index that exists was not used, with the remedy: a sentence for the user; else empty."""
    groups: tuple[Group, ...]

    @overload
    def __getitem__(self, place: int) -> Group:
        """Return a group."""

    @overload
    def __getitem__(self, place: slice) -> Sequence[Group]:
        """Return some of the groups."""

    def __getitem__(self, place: int | slice) -> Group | Sequence[Group]:
        return self.groups[place]

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __repr__(self) -> str:
        return f"<Duplicates: {self.headline()}, in {self.store}>"

    def as_json(self) -> dict[str, Any]:
        """Return what `embedder duplicates --json` prints."""
        groups = [
            [{"image_id": each.image_id, "score": round(each.score, 6)} for each in group.members] for group in self
        ]
        how = {"index": self.searched_by, "approximate": self.searched_by is not None, "pair_recall": self.pair_recall}
        return {"store": self.store, "threshold": self.threshold, "vectors": self.vectors, **how, "groups": groups}

    def way(self) -> str:
        """Return a sentence about the way that was taken, for a person; empty if there is nothing to know."""
        if self.searched_by is None:
            return self.remark
        share = "a share of pairs that is not known" if self.pair_recall is None else f"{self.pair_recall:.1%} of pairs"
        return f"approximate: {self.searched_by} found {share} when it was made; --exact finds every pair"

    def headline(self) -> str:
        """Return the counts, for a person."""
        images = sum(len(group.members) for group in self)
        found = "1 group" if len(self) == 1 else f"{len(self):,} groups"
        return f"{found} of {images:,} images among {self.vectors:,}, at a cosine of {self.threshold} or more"

    def _repr_html_(self) -> str:
        rows = {self.headline(): self.store, **({"random weights": MEANINGLESS} if self.random else {})}
        for group in self.groups[:SHOWN_GROUPS]:
            kept, *others = group.members
            named = [f"{each.image_id} ({each.score:.4f})" for each in others[:SHOWN_MEMBERS]]
            more = [f"… {len(others) - SHOWN_MEMBERS:,} more"] if len(others) > SHOWN_MEMBERS else []
            rows[kept.image_id] = ", ".join(named + more)
        return table(rows)


def duplicates(
    store: str | Path,
    threshold: float = 0.98,
    *,
    prefix: str = "",
    fingerprint: str | None = None,
    exact: bool = False,
    progress: bool = True,
) -> Duplicates:
    """Group the near-duplicates of a store, as `embedder duplicates` does.

    Args:
        store: the store's name: `dynamodb://table`, or the path of a SQLite file.
        threshold: the least cosine of an image to the one that is kept of its group.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed if a store holds several.
        exact: find every pair, also where the store has an index.
        progress: whether a notebook or a terminal shows how far the work has come.

    Returns:
        The groups, a sequence.

    Raises:
        ConfigurationError: there is no such store, the threshold is no cosine of images that are alike, or the vectors
            are of several kinds.
        TransientError: the store does not answer, or the disk is full.
    """
    with closing(open_store(str(store), must_exist=True)) as opened, steps_shown(progress):
        check_threshold(threshold)
        index, remark = (None, "") if exact else _index(opened, fingerprint)
        with closing(index) if index is not None else nullcontext():
            count, groups = find_duplicates(
                opened,
                threshold,
                prefix=prefix,
                fingerprint=fingerprint,
                cells=None if index is None else index.cells,
            )
        random = is_random(opened, fingerprint)
    return Duplicates(
        store=str(store),
        threshold=threshold,
        vectors=count,
        random=random,
        searched_by=None if index is None else index.describe(),
        pair_recall=None if index is None else index.pair_recall(threshold),
        remark=remark,
        groups=tuple(groups),
    )


def _index(store: Store, fingerprint: str | None) -> tuple[CellIndex | None, str]:
    """Return the store's index if it can find near-duplicates, and why there is one that cannot be used."""
    kind = kind_for(store)
    try:
        index = None if kind is None else kind.open(fingerprint)
    except UnusableIndexError as error:
        return None, f"{error}; every vector is compared{error.remedy(store.name)}"
    if index is None or isinstance(index, CellIndex):
        return index, ""
    index.close()
    return None, ""
