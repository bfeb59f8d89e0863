"""Ending a run early without losing what is finished."""

from __future__ import annotations

import threading

from embedder.errors import TransientError


class Stop:
    """A request, by a signal or by a broken world, to take in nothing more and finish what is begun."""

    def __init__(self) -> None:
        self.event = threading.Event()
        """Set once; waits and retries end with it."""
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
        """SIGTERM or SIGINT has arrived."""
        self.signal = self.signal or number
        self.event.set()

    def by_error(self, error: TransientError) -> None:
        """A source or a store has stopped answering."""
        self.error = self.error or error
        self.event.set()
