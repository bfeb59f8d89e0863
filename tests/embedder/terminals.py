"""`embedder …` in a terminal: a pty of a certain width, and what was written to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
import termios
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from embedder import cli
from tests.embedder.commands import restored

STYLES = re.compile(r"\x1b\[\d*m")
MOVES = re.compile(r"\x1b\[[\d;]*[A-HJKf]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a command wrote to the terminal."""

    returncode: int
    raw: str

    @property
    def frames(self) -> list[str]:
        """Every text between two movements of the cursor, in order, without styles."""
        parts = re.split(r"[\r\n]+", MOVES.sub("\r", STYLES.sub("", self.raw)))
        return [each.rstrip() for each in parts if each.strip()]

    @property
    def left(self) -> list[str]:
        """The lines below the bars, which are gone in the end."""
        below = self.raw.rpartition("\r\x1b[K")[2]
        return [each.rstrip() for each in STYLES.sub("", below).split("\r\n") if each.strip()]


def in_terminal(*arguments: str | Path, columns: int = 80) -> Shown:
    """Run a command line in this process, with stdout and stderr on a terminal."""
    return on_terminal(lambda: cli.main([str(each) for each in arguments]), columns=columns)


def on_terminal(function: Callable[[], int], *, columns: int = 80) -> Shown:
    """Call a function that returns an exit code, with stdout and stderr on a terminal."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written: list[bytes] = []

    def gather() -> None:
        with contextlib.suppress(OSError):  # what a master gets when its terminal is closed
            while data := os.read(master, 65536):
                written.append(data)

    reader = threading.Thread(target=gather)
    reader.start()
    with contextlib.ExitStack() as stack:
        screen = stack.enter_context(open(slave, "w", encoding="utf-8", buffering=1))
        stack.enter_context(restored())
        stack.enter_context(contextlib.redirect_stdout(screen))
        stack.enter_context(contextlib.redirect_stderr(screen))
        try:
            code = function()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    reader.join()
    os.close(master)
    return Shown(returncode=code, raw=b"".join(written).decode())
