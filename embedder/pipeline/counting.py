"""Counts a source's images ahead of the work, so that a bar has a total while the first ones are embedded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from embedder.errors import EmbedderError
from embedder.pipeline.ledger import Ledger
from embedder.sources import Countable, Estimated, Source


@contextmanager
def counting_ahead(source: Source, ledger: Ledger) -> Iterator[None]:
    """Within this block, let a thread find out how many images the source has, and tell the ledger.

    It keeps no name, so that memory does not depend on the number of images. As long as the number is not known, the
    ledger has the source's own estimate, if the source makes any.
    """
    if isinstance(source, Estimated):
        ledger.expected = source.expected
    images = source.count() if ledger.total is None and isinstance(source, Countable) else None
    if images is None:
        yield
        return
    ended = threading.Event()

    def count() -> None:
        found = 0
        try:
            for _ in images:
                found += 1
                if ended.is_set():
                    return
        except EmbedderError:
            return  # the listing itself reports what is wrong; the bar does without a total
        ledger.total = found

    thread = threading.Thread(target=count, name="count", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
