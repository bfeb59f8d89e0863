"""Decides whether the vector stored under an image's id is the one that this run would make."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.errors import ConfigurationError, ImageError
from embedder.records import Reference, VectorInfo


@dataclass(frozen=True, slots=True)
class Todo:
    """An image to embed, with the vector that is stored under its id, if any."""

    reference: Reference
    stored: VectorInfo | None

    @property
    def has_moved(self) -> bool:
        """Whether the image was elsewhere when its stored vector was made."""
        return self.stored is not None and self.stored.source != self.reference.uri

    @property
    def has_changed_place(self) -> bool:
        """Whether the store has another place, or another modification time, for the image."""
        return self.has_moved or (self.stored is not None and self.stored.modified != self.reference.modified)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipping:
    """The rule that decides whether a stored vector is kept, replaced or refused."""

    store: str
    fingerprint: str
    """The fingerprint of the vectors that this run makes."""
    allow_mixed: bool

    def is_done(self, reference: Reference, stored: VectorInfo) -> bool:
        """Return whether the right vector is stored already. If there is no ETag yet, False may only mean unknown.

        Raises:
            ImageError: the stored vector belongs to another image.
            ConfigurationError: another model made the stored vector.
        """
        if reference.etag is None:
            same = stored.source == reference.uri and stored.modified == reference.modified is not None
            if not same:
                return False
        else:
            same = reference.etag == stored.etag
            if not same and stored.source not in ("", reference.uri):
                raise ImageError(
                    "Collision",
                    f"{reference.uri} has the id of {stored.source}, whose vector is in the store; use --image-id uri, "
                    "another store, or --recompute to replace it",
                )
        self.refuse_mixture(stored)
        return same and stored.fingerprint == self.fingerprint

    def refuse_mixture(self, stored: VectorInfo) -> None:
        """Refuse a stored vector that cannot be compared with those of this run.

        Raises:
            ConfigurationError: another model made it, and `--allow-mixed` was not given.
        """
        if stored.fingerprint == self.fingerprint or self.allow_mixed:
            return
        raise ConfigurationError(
            f"{self.store} holds vectors of {stored.fingerprint or 'an unknown model'}, but this run makes "
            f"{self.fingerprint}, and the two cannot be compared; name another --store, or use --recompute to "
            "replace them, or --allow-mixed to keep both"
        )
