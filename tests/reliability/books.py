"""The reference model: what a run does to a store, in few words and without any of embedder's code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

EMBEDDED, SKIPPED, MOVED, CORRUPT, COLLISION = "embedded", "skipped", "moved", "Corrupt", "Collision"


@dataclass(frozen=True, slots=True)
class Content:
    """What a picture's file holds."""

    number: int
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store holds under an id."""

    content: Content
    recipe: str
    place: str


@dataclass(slots=True)
class Books:
    """The pictures that there are, where they are, and the vectors that are stored."""

    place: str
    pictures: dict[str, Content] = field(default_factory=dict)
    stored: dict[str, Kept] = field(default_factory=dict)

    def refuses(self, recipe: str) -> bool:
        """Whether a plain run with this recipe is refused: its vectors cannot be compared with those stored."""
        return any(kept.recipe != recipe for kept in self.stored.values())

    def fate(self, image_id: str, recipe: str, *, recompute: bool = False) -> str:
        """What a run does with one image."""
        content, kept = self.pictures[image_id], self.stored.get(image_id)
        if kept and not recompute:
            if kept.content != content and kept.place != self.place:
                return COLLISION
            if (kept.content, kept.recipe) == (content, recipe):
                return SKIPPED if kept.place == self.place else MOVED
        return CORRUPT if content.damaged else EMBEDDED

    def after(self, image_id: str, recipe: str, *, recompute: bool = False) -> Kept | None:
        """What the store holds under an id after a run has dealt with the image."""
        if self.fate(image_id, recipe, recompute=recompute) in (CORRUPT, COLLISION):
            return self.stored.get(image_id)
        return Kept(self.pictures[image_id], recipe, self.place)

    def run(self, recipe: str, image_ids: Iterable[str] | None = None, *, recompute: bool = False) -> dict[str, str]:
        """Do to the store what a whole run does, and return each image's fate."""
        chosen = list(self.pictures if image_ids is None else image_ids)
        fates = {each: self.fate(each, recipe, recompute=recompute) for each in chosen}
        for each in chosen:
            if kept := self.after(each, recipe, recompute=recompute):
                self.stored[each] = kept
        return fates

    def prune(self) -> int:
        """Delete the vectors of this place whose picture is gone, and return how many."""
        gone = [each for each, kept in self.stored.items() if kept.place == self.place and each not in self.pictures]
        for each in gone:
            del self.stored[each]
        return len(gone)
