"""Whether the cosines of a store mean anything: random weights tell no picture from another."""

from __future__ import annotations

from embedder.models.weights import RANDOM
from embedder.records import Fingerprint
from embedder.stores import Store

MEANINGLESS = "these vectors were made with random weights, so their cosines mean nothing"


def made_at_random(fingerprint: str) -> bool:
    """Say whether vectors of this fingerprint were made with `--weights random`."""
    try:
        return Fingerprint.parse(fingerprint).digest == RANDOM
    except ValueError:
        return False


def is_random(store: Store, fingerprint: str | None) -> bool:
    """Say the same of a store's vectors, or of those of one fingerprint in it."""
    sample = store.sample()
    return sample is not None and made_at_random(fingerprint or sample.fingerprint)
