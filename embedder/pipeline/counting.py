"""Counts a source's images ahead of the work, so that a bar has a total while the first ones are embedded."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from embedder.errors import EmbedderError
from embedder.pipeline.ledger import Ledger
from embedder.sources import Countable, Source


@contextmanager
def counting_ahead(source: Source, ledger: Ledger) -> Iterator[None]:
    """Within this block, let a thread find out how many images the source has, and tell the ledger.

    It keeps no name, so that memory does not depend on the number of images.
    """
    if ledger.total is not None or not isinstance(source, Countable):
        yield
        return
    ended = threading.Event()

    def count() -> None:
        found = 0
        try:
            for _ in source.count():
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
