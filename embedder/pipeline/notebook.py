"""What a notebook shows: a run's progress, and figures as a table."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

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


class NotebookProgress:
    """A bar in a cell's output. It is plain HTML, which any notebook draws and keeps, with no widgets to install."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.drawn = 0.0
        self.latest: tuple[Ledger, int | None] | None = None

    def __call__(self, ledger: Ledger, total: int | None) -> None:
        """Show the counts so far; see `Progress`."""
        self.latest = ledger, total
        if time.monotonic() >= self.drawn + REDRAW_SECONDS:
            self.drawn = time.monotonic()
            self._draw(ledger, total)

    def close(self, _report: Report | None, **_about: bool) -> None:
        """Leave the last counts in the output."""
        if self.latest is not None:
            self._draw(*self.latest, ended=True)

    def _draw(self, ledger: Ledger, total: int | None, *, ended: bool = False) -> None:
        from IPython.display import HTML, display

        done = ledger.images
        total = total or (done if ended else None)
        text = f"{done:,} of {total:,} images" if total else f"{done:,} images"
        for count, what in ((ledger.skipped, "skipped"), (ledger.failed, "failed")):
            text += f", {count:,} {what}" if count else ""
        state = f'value="{done}" max="{total}"' if total else ""  # without them, the bar moves to and fro
        bar = HTML(f'<progress {state} style="width:20em"></progress> <span>{text}</span>')
        if self.handle is None:
            self.handle = display(bar, display_id=True)
        else:
            self.handle.update(bar)
