"""Tables: aligned and fitted on a terminal, lines of values between tabs in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from embedder.terminal.screen import columns, is_terminal, painted, printable, shortened, width

GAP = "  "
LEAST_ROOM = 8
"""The least columns of a terminal that a value is shortened to."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    align: Literal["left", "right"] = "left"
    fits: bool = False
    """Whether its values are shortened where a row is wider than the terminal."""


def print_table(table: Sequence[Column], rows: Iterable[Sequence[str]], stream: TextIO | None = None) -> None:
    """Print rows of texts.

    Args:
        table: the columns.
        rows: for a pipe they are printed as they come, however many they are. For a terminal they are all taken first,
            so give it no more than a person reads.
    """
    out = sys.stdout if stream is None else stream
    if not is_terminal(out):
        for row in rows:
            out.write("\t".join(map(printable, row)) + "\n")
        return
    shown = [[printable(value) for value in row] for row in rows]
    names = [each.name for each in table]
    widths = [max(map(columns, values)) for values in zip(names, *shown, strict=True)]
    missing = sum(widths) + len(GAP) * (len(widths) - 1) - width()
    for place, column in enumerate(table):
        if column.fits and missing > 0:
            widths[place] = max(LEAST_ROOM, widths[place] - missing)
            missing = 0
    for line in _lines(table, widths, [names]):
        print(painted(line, "bold", out), file=out)
    for line in _lines(table, widths, shown):
        print(line, file=out)


def _lines(table: Sequence[Column], widths: Sequence[int], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        cells = []
        for column, room, value in zip(table, widths, row, strict=True):
            text = shortened(value, room)
            padding = " " * (room - columns(text))
            cells.append(padding + text if column.align == "right" else text + padding)
        yield GAP.join(cells).rstrip()
