"""Bars on stderr for work that takes seconds."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from embedder.system.steps import Advance, shown_on
from embedder.terminal.screen import is_terminal, shortened, width

if TYPE_CHECKING:
    from tqdm import tqdm

TICK_SECONDS = 0.2
MARGIN = 4
"""Columns to leave free at the right, so that the `^C` that a terminal prints does not begin another line."""
ERASE_LINE = "\r\x1b[K"
"""Takes away what tqdm has not written itself."""
LEAST_BAR, LEAST_NAME = 14, 20
"""Columns of a bar with its percentage, and of what stands beside it, where an address has to be shortened for them."""
DELAY_SECONDS = 0.4
"""A step that ends sooner is not shown."""


class Bars:
    """Steps as bars, one below the other, redrawn while the work goes on; a `Display`.

    A thread draws them: the thread that works may be in one long call.
    """

    def __init__(self) -> None:
        self.shown: dict[tqdm[Any], tuple[Callable[[], str], float]] = {}
        """The bars, with what returns the text of each, and the seconds after which it appears."""
        self.changing = threading.Lock()
        self.closing = threading.Event()
        self.resources = ExitStack()
        self.thread: threading.Thread | None = None

    def add(self, total: int | None, text: Callable[[tqdm[Any]], str], *, delay: float = 0.0) -> tqdm[Any]:
        """Show one more bar.

        Args:
            text: returns what stands beside the bar.
            delay: the seconds after which it appears.
        """
        from tqdm import tqdm

        self._start()
        # With a delay of its own, tqdm draws nothing when it begins. It would not take such a bar off again, either.
        # A log line that is written before has it drawn all the same: as nothing, until it has a text.
        bar: tqdm[Any] = tqdm(total=total, file=sys.stderr, leave=False, delay=delay or 1.0, bar_format=" ")
        bar.delay = 0.0
        with self.changing:
            self.shown[bar] = (lambda: text(bar)), delay
        return bar

    def _start(self) -> None:
        if self.thread is not None:
            return
        from tqdm.contrib.logging import logging_redirect_tqdm

        self.resources.enter_context(logging_redirect_tqdm())  # a log line must not break a bar
        self.thread = threading.Thread(target=self._draw, name="bars", daemon=True)
        self.thread.start()

    def _draw(self) -> None:
        while not self.closing.wait(TICK_SECONDS):
            self.draw()

    def draw(self) -> None:
        """Draw every bar as it is now."""
        with self.changing:
            for bar, (text, delay) in self.shown.items():
                if _age(bar) < delay:
                    continue
                beside = _escaped(text())  # which may bring the bar's numbers up to date
                bar.ncols = width() - MARGIN
                bar.bar_format = "{percentage:3.0f}% |{bar}| " + beside if bar.total else beside
                bar.refresh()

    def remove(self, bar: tqdm[Any]) -> None:
        """Take a bar off the screen."""
        with self.changing:
            if self.shown.pop(bar, None) is not None:
                bar.close()

    def close(self) -> None:
        """Take all bars off the screen."""
        self.closing.set()
        for bar in reversed(list(self.shown)):
            self.remove(bar)
        if self.thread is not None:
            sys.stderr.write(ERASE_LINE)
            sys.stderr.flush()
        self.resources.close()

    @contextmanager
    def step(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Show a step; see `Display`."""

        def text(bar: tqdm[Any]) -> str:
            # An address would leave no room for its own bar.
            fits = partial(step_text, done=bar.n, total=bar.total, unit=unit, seconds=_age(bar))
            room = width() - MARGIN - (LEAST_BAR if bar.total else 0) - len(fits(""))
            return fits(shortened(name, max(room, LEAST_NAME)))

        bar = self.add(total, text, delay=DELAY_SECONDS)
        try:
            yield lambda count: _advance(bar, count)
        finally:
            self.remove(bar)


@contextmanager
def steps_on_terminal() -> Iterator[None]:
    """Show the steps within this block as bars if stderr is a terminal."""
    if not is_terminal(sys.stderr):
        yield
        return
    bars = Bars()
    try:
        with shown_on(bars):
            yield
    finally:
        bars.close()


def step_text(name: str, done: float, total: float | None, unit: str, seconds: float | None = None) -> str:
    """Return what stands beside a step's bar: `timing the engines, 2 of 5`.

    Args:
        seconds: how long it has taken, to be told where nothing else can be.
    """
    if unit == "B":
        amount = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        return f"{name}, {amount}" if done else name
    if total:
        return f"{name}, {done:,} of {total:,}" + (f" {unit}" if unit else "")
    if done:
        return f"{name}, {done:,} {unit}"
    return name if seconds is None else f"{name}, {duration(seconds)}"


def duration(seconds: float) -> str:
    """Return a time as a person says it: `23 s`, `4 min`, `1 h 20 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def _age(bar: tqdm[Any]) -> float:
    return float(bar.format_dict["elapsed"])


def _advance(bar: tqdm[Any], count: int) -> None:
    bar.n += count  # the thread draws it


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
