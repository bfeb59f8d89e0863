"""Ending a run early without losing what is finished."""

from __future__ import annotations

import threading

from embedder.errors import TransientError


class Stop:
    """A request, by a signal or by a broken world, to take in nothing more and finish what is begun."""

    def __init__(self) -> None:
        self.event = threading.Event()
        """Set once; nothing more is taken in, and waiting for a source ends."""
        self.hurry = threading.Event()
        """Set once; waiting for a store ends, too. A source that breaks is no reason to give up on the store."""
        self.signal: int | None = None
        self.error: TransientError | None = None

    @property
    def requested(self) -> bool:
        return self.event.is_set()

    def signalled(self) -> bool:
        """Whether somebody asked: then what is not encoded yet is left for the next run.

        A broken source or store is different: what has been read is still worth finishing.
        """
        return self.signal is not None

    def by_signal(self, number: int) -> None:
        """SIGTERM or SIGINT has arrived. Who says so sets `hurry` when there is no more time to write."""
        self.signal = self.signal or number
        self.event.set()

    def by_source(self, error: TransientError) -> None:
        """The source has stopped answering."""
        self.error = self.error or error
        self.event.set()

    def by_store(self, error: TransientError) -> None:
        """The store has stopped answering."""
        self.by_source(error)
        self.hurry.set()

    def abandon(self) -> None:
        """The run has failed: nobody needs to wait for anything any more."""
        self.event.set()
        self.hurry.set()
