"""Ends a run early without losing finished images."""

from __future__ import annotations

import threading

from embedder.errors import TransientError


class Stop:
    """A request to take no more images and finish those that were begun, after a signal or an outage."""

    def __init__(self) -> None:
        self.event = threading.Event()
        """Once set, no more images are taken, and waiting for the source ends."""
        self.hurry = threading.Event()
        """Once set, waiting for the store ends, too. An outage of the source alone does not set it."""
        self.signal: int | None = None
        self.error: TransientError | None = None

    @property
    def requested(self) -> bool:
        return self.event.is_set()

    def signalled(self) -> bool:
        """Return whether a signal has arrived. Images that are not encoded yet are then left to the next run.

        After an outage of the source or store, images that have been read are still finished.
        """
        return self.signal is not None

    def by_signal(self, number: int) -> None:
        """Stop because of SIGTERM or SIGINT. The caller sets `hurry` once the time for writing is over."""
        self.signal = self.signal or number
        self.event.set()

    def by_source(self, error: TransientError) -> None:
        """Stop because the source does not answer any more."""
        self.error = self.error or error
        self.event.set()

    def by_store(self, error: TransientError) -> None:
        """Stop because the store does not answer any more."""
        self.by_source(error)
        self.hurry.set()

    def abandon(self) -> None:
        """End all waiting, because the run has failed."""
        self.event.set()
        self.hurry.set()
