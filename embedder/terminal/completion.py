"""Scripts that make a shell complete a program's command lines."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
PATHS = {"SOURCE", "STORE", "QUERY", "ROOT", "FILE", "F", "W"}
"""What arguments are called that a path may be given for."""


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for a shell.

    Args:
        parser: of the program. It is changed, so it is of no use for parsing afterwards.
        shell: one of `SHELLS`.
    """
    import shtab

    for each in _arguments(parser):
        if (each.type is Path or each.metavar in PATHS) and each.dest != "fingerprint":
            each.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for each in parser._actions:
        yield each
        if isinstance(each, argparse._SubParsersAction):
            for command in each.choices.values():
                yield from _arguments(command)
