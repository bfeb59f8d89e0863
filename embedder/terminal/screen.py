"""A terminal's width and colours, and text that fits into it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import unicodedata
from typing import TextIO

from embedder.config import colours_wanted

USUAL_WIDTH, LEAST_WIDTH = 80, 20
STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


def is_terminal(stream: TextIO) -> bool:
    """Return whether a person looks at this stream."""
    return stream.isatty()


def width() -> int:
    """Return the columns of the terminal; without one those of `COLUMNS`, else 80."""
    for stream in (sys.stdout, sys.stderr):
        if is_terminal(stream):
            return max(LEAST_WIDTH, os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH)
    return max(LEAST_WIDTH, shutil.get_terminal_size((USUAL_WIDTH, 24)).columns)


def painted(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return text in a style, if the stream is a terminal with colours.

    Args:
        style: a key of `STYLES`.
        stream: where the text will be written; stdout by default.
    """
    stream = sys.stdout if stream is None else stream
    return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if is_terminal(stream) and colours_wanted() else text


def columns(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    if text.isascii():
        return len(text)
    return sum(_columns(each) for each in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def shortened(text: str, room: int) -> str:
    """Return a text that takes at most `room` columns. What is left out in its middle becomes `…`.

    The end of a path tells more than its middle, so both ends stay.
    """
    if columns(text) <= room:
        return text
    end = _start(text[::-1], (room - 1) // 2)[::-1]
    return f"{_start(text, room - 1 - columns(end))}…{end}"


def _start(text: str, room: int) -> str:
    taken = 0
    for place, each in enumerate(text):
        taken += _columns(each)
        if taken > room:
            return text[:place]
    return text


def wrapped(text: str, room: int, indent: str = "") -> list[str]:
    """Break a text between words into lines of at most `room` columns; a longer word stays whole.

    Args:
        indent: put before each line but the first.
    """
    lines = [""]
    for word in re.findall(r"\S+", text):
        start = indent if len(lines) > 1 else ""
        if lines[-1] in ("", indent):
            lines[-1] = start + word
        elif columns(lines[-1]) + 1 + columns(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(indent + word)
    return lines


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 image`, `1,200 images`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def speed(rate: float) -> str:
    """Return images a second as a person reads them: `29/s`, `2.1/s`."""
    return f"{rate:,.0f}/s" if rate >= 9.95 else f"{rate:.1f}/s"


def printable(image_id: str) -> str:
    """Return an id as one line shows it. An id with characters that would move the cursor or be invisible is quoted."""
    return image_id if image_id.isprintable() else repr(image_id)
