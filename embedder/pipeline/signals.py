"""SIGTERM and Ctrl-C: ask a run to stop, then to hurry, and end it if it cannot end by itself.

A thread does this. Python's signal handling wakes it through a pipe. A signal handler would run in the main thread,
which may be in a long call, or hold a lock that the handler needs.
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
"""The time after a signal in which a throttled store may still take encoded images."""

END_SECONDS = 8.0
"""The time after a signal at which a run that still waits for a network, a lock or a model is ended."""


@contextmanager
def listening(stop: Stop, give_up: Callable[[], None]) -> Iterator[None]:
    """Within this block, stop the run in good order at the first signal, and end the process at once at the second.

    The handlers stay installed afterwards, and do nothing. With Python's own handlers, a Ctrl-C between the report and
    the end of the process would give a traceback. `embed`, which other programs call, installs no handlers.

    Args:
        give_up: ends the process. It is called from another thread, `END_SECONDS` after the signal.
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
