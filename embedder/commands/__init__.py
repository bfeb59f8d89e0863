"""The commands of the command line: one file each, where `add` defines the arguments and `run` does the work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_store(command: argparse.ArgumentParser) -> None:
    """Add the argument STORE, the store that a command reads."""
    command.add_argument("store", metavar="STORE", help="a SQLite file or dynamodb://TABLE")


def add_selection(command: argparse.ArgumentParser) -> None:
    """Add the options that select vectors of a store."""
    command.add_argument("--prefix", default="", metavar="P", help="only ids that start with P")
    command.add_argument("--fingerprint", metavar="F", help="only vectors made by this model and weights")


def tell_where(path: Path) -> None:
    """Say where to look at a file that was written, so that a terminal can open it."""
    print(f"Open {path.absolute().as_uri()}", file=sys.stderr)
