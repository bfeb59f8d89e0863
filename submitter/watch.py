"""Watch a run until it is finished, with a progress bar."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from submitter.errors import TransientError, aws_errors
from submitter.status import Status

_LONGEST_WAIT = 300.0
_BAR = 30


def watch(
    look: Callable[[], Status], interval: float, *, sleep: Callable[[float], None] = time.sleep
) -> Iterator[Status]:
    """Yield what `look` returns, about every `interval` seconds, until the run is finished.

    Throttling and outages increase the interval and do not end the watch.
    """
    wait = interval
    while True:
        try:
            with aws_errors():
                status = look()
            wait = interval
        except TransientError:
            wait = min(2 * wait, _LONGEST_WAIT)
        else:
            yield status
            if status.finished:
                return
        sleep(wait * random.uniform(0.9, 1.1))  # so that many watchers do not ask at the same moment


def show(status: Status, stream: TextIO) -> None:
    """Write one line: redrawn in place on a terminal, appended anywhere else."""
    if stream.isatty():
        stream.write(f"\r\x1b[K{bar(status)}" + ("\n" if status.finished else ""))
    else:
        stream.write(bar(status) + "\n")
    stream.flush()


def bar(status: Status) -> str:
    done = status.images - (status.missing or 0)
    part = status.part_done
    drawn = "#" * int(part * _BAR)
    known = f"{done:,} of {status.images:,} images"
    if status.missing is None:
        known = f"{status.shards_done:,} of {status.shards:,} shards, {done:,} images"
    parts = [f"[{drawn:.<{_BAR}}] {part:4.0%} {known}"]
    if status.failed:
        parts.append(f"{status.failed:,} failed")
    if status.images_per_second:
        parts.append(f"{status.images_per_second:,.0f}/s")
    if status.seconds_left is not None:
        parts.append(f"{duration(status.seconds_left)} left")
    parts.extend(f"{count:,} {state}" for state, count in sorted(status.jobs.items()))
    return ", ".join(parts)


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
