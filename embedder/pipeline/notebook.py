"""What a notebook shows: a run's progress, and figures as a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from embedder.system.steps import Advance
from embedder.terminal.bars import step_text

if TYPE_CHECKING:
    from embedder.pipeline.ledger import Ledger
    from embedder.pipeline.report import Report

REDRAW_SECONDS = 0.2
"""Each drawing is a message to the browser, and kept by some of them."""


def in_notebook() -> bool:
    """Say whether this code runs in a notebook, whose outputs a browser draws."""
    ipython = sys.modules.get("IPython")  # a program that has not imported it runs in no notebook
    shell = ipython.get_ipython() if ipython else None
    return hasattr(shell, "kernel")


def table(rows: Mapping[str, str]) -> str:
    """Return an HTML table of names and values."""
    cells = (
        f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
        for name, value in rows.items()
    )
    return f"<table>{''.join(cells)}</table>"


class Drawing:
    """A bar in a cell's output. It is plain HTML, which any notebook draws and keeps, with no widgets to install."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.drawn = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the bar was drawn so long ago that it may be drawn again."""
        return time.monotonic() >= self.drawn + REDRAW_SECONDS

    def draw(self, done: int, total: int | None, text: str) -> None:
        state = f'value="{done}" max="{total}"' if total else ""  # without them, the bar moves to and fro
        self._show(f'<progress {state} style="width:20em"></progress> <span>{escape(text)}</span>')

    def erase(self) -> None:
        """Leave nothing of the bar in the output."""
        if self.handle is not None:
            self._show("")

    def _show(self, content: str) -> None:
        from IPython.display import HTML, display

        self.drawn = time.monotonic()
        if self.handle is None:
            self.handle = display(HTML(content), display_id=True)
        else:
            self.handle.update(HTML(content))


class NotebookSteps:
    """Steps as bars, which are gone from the output when they are done; a `Display`."""

    @contextmanager
    def step(self, name: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Show a step; see `Display`."""
        bar, done = Drawing(), 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if bar.is_due:
                bar.draw(done, total, step_text(name, done, total, unit))

        bar.draw(0, total, name)
        try:
            yield advance
        finally:
            bar.erase()


class NotebookProgress(NotebookSteps):
    """A bar for the images, which stays, and one for each step that the run takes."""

    def __init__(self) -> None:
        self.bar = Drawing()
        self.latest: tuple[Ledger, int | None] | None = None

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        """Show the counts so far; see `Progress`."""
        self.latest = ledger, total
        if self.bar.is_due:
            self._draw(ledger, total)

    def close(self, _report: Report | None, **_about: bool) -> None:
        """Leave the last counts in the output."""
        if self.latest is not None:
            self._draw(*self.latest, ended=True)

    def _draw(self, ledger: Ledger, total: int | None, *, ended: bool = False) -> None:
        done = ledger.images
        total = total or (done if ended else None)
        text = f"{done:,} of {total:,} images" if total else f"{done:,} images"
        for count, what in ((ledger.skipped, "skipped"), (ledger.failed, "failed")):
            text += f", {count:,} {what}" if count else ""
        self.bar.draw(done, total, text)
