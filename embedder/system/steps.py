"""Steps: work that takes seconds says how far it has come, whoever looks.

The work calls `step`. Whoever can show it, such as a terminal, calls `shown_on` around the work. Without a display, the
beginning of a step is a log line.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

logger = logging.getLogger("embedder")

Advance: TypeAlias = Callable[[int], object]
"""Tells how much more of a step is done."""


class Display(Protocol):
    """Shows steps, which may be nested."""

    def step(self, name: str, total: int | None, unit: str) -> AbstractContextManager[Advance]:
        """Show a step until the block ends; see `step`."""


_display: ContextVar[Display | None] = ContextVar("display", default=None)
# A context variable, so that two runs in two threads of one program do not show each other's steps.


@contextmanager
def shown_on(display: Display | None) -> Iterator[None]:
    """Show the steps that this thread takes within the block; None shows none."""
    token = _display.set(display)
    try:
        yield
    finally:
        _display.reset(token)


def are_shown() -> bool:
    """Say whether the steps of this thread are shown already."""
    return _display.get() is not None


@contextmanager
def step(name: str, *, total: int | None = None, unit: str = "") -> Iterator[Advance]:
    """Take a step. Call what the block gets with the amount that was done since the call before.

    Args:
        name: what is being done, such as `downloading resnet18`.
        total: how much there is to do, if that is known.
        unit: of the total, such as `images`; `B` for bytes.
    """
    display = _display.get()
    if display is None:
        logger.info("%s", name)
        yield lambda _: None
        return
    with display.step(name, total, unit) as advance:
        yield advance
