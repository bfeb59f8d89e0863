"""Deletes the vectors whose image no longer exists."""

from __future__ import annotations

from embedder.pipeline.stopping import Stop
from embedder.records import VectorInfo
from embedder.sources import CompleteSource
from embedder.stores import Store
from embedder.system.threads import grouped, parallel_map

GROUP = 100


def prune(source: CompleteSource, store: Store, stop: Stop) -> int:
    """Delete the vectors that came from this source and whose image no longer exists.

    Each image is looked up by itself. So an incomplete listing, or other suffixes than last time, never delete
    anything. Nothing is deleted once a stop is requested.

    Returns:
        The number of deleted vectors.

    Raises:
        TransientError: the source or the store does not answer.
    """

    def gone(stored: VectorInfo) -> str | None:
        return None if stop.requested or source.exists(stored.source) else stored.image_id

    candidates = (stored for stored in store.describe() if source.holds(stored.source))
    checked = parallel_map(gone, candidates, workers=source.readers, depth=lambda: 4 * GROUP, name="prune")
    # Find all before deleting the first: a scan must not go over rows that are deleted meanwhile.
    missing = [image_id for image_id in checked if image_id is not None]
    for group in grouped(missing, GROUP):
        store.delete(group)
    return len(missing)
