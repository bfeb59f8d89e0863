"""SIGTERM and Ctrl-C: a run is told to stop, then to hurry, and is ended where it cannot end by itself.

A thread does this, which Python's signal handling wakes through a pipe. A handler would run in the main thread, which
may be inside a call that takes long, or hold the lock that the handler needs.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from embedder.exit_codes import SIGNAL_BASE
from embedder.pipeline.stopping import Stop

SIGNALS = (signal.SIGTERM, signal.SIGINT)

HURRY_SECONDS = 4.0
"""From a signal on, for a throttled store to take what is encoded."""

END_SECONDS = 8.0
"""From a signal on: then a run that still waits, for a network, a lock or a model, is ended where it is."""


@contextmanager
def listening(stop: Stop, give_up: Callable[[], None]) -> Iterator[None]:
    """Stop a run in good order at the first signal, and the process at once at a second one.

    The handlers stay, and do nothing any more: with Python's own back in their place, a Ctrl-C between the report and
    the end of the process would be a traceback. `embed`, for other programs, installs none.

    Args:
        give_up: called in another thread when `END_SECONDS` have gone by, to end the process.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    watcher = threading.Thread(target=_watch, args=(reading, stop, give_up), name="signals", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)
        watcher.join()
        os.close(reading)


def _watch(reading: int, stop: Stop, give_up: Callable[[], None]) -> None:
    received = os.read(reading, 1)
    if not received:
        return  # the run has ended
    number = received[0]
    stop.by_signal(number)
    for seconds, then in ((HURRY_SECONDS, stop.hurry.set), (END_SECONDS - HURRY_SECONDS, give_up)):
        if not select.select([reading], [], [], seconds)[0]:
            then()
        elif os.read(reading, 1):
            os._exit(SIGNAL_BASE + number)
        else:
            return
