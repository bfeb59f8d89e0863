"""Deciding whether the vector that is stored under an image's id is the one that the image would get."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.errors import ConfigurationError, ImageError
from embedder.records import Reference, VectorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipping:
    """The rule by which a stored vector is kept, replaced or refused."""

    store: str
    fingerprint: str
    """Of the vectors that this run makes."""
    allow_mixed: bool

    def is_done(self, reference: Reference, stored: VectorInfo) -> bool:
        """Say whether an image's vector is stored already. A reference without an ETag may have to be read to tell.

        Raises:
            ImageError: the stored vector is another image's.
            ConfigurationError: the stored vector is another model's.
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
        """Raise ConfigurationError if the stored vector and this run's cannot be compared."""
        if stored.fingerprint == self.fingerprint or self.allow_mixed:
            return
        raise ConfigurationError(
            f"{self.store} holds vectors of {stored.fingerprint or 'an unknown model'}, this run makes "
            f"{self.fingerprint}, and the two cannot be compared; name another --store, or use --recompute to "
            "replace them, or --allow-mixed to keep both"
        )
