"""The commands of the command line: one file each, where `add` defines the arguments and `run` does the work."""

from __future__ import annotations

import argparse


def add_store(command: argparse.ArgumentParser) -> None:
    """Add the argument STORE, the store that a command reads."""
    command.add_argument("store", metavar="STORE", help="a SQLite file or dynamodb://TABLE")


def add_selection(command: argparse.ArgumentParser) -> None:
    """Add the options that select vectors of a store."""
    command.add_argument("--prefix", default="", metavar="P", help="only ids that start with P")
    command.add_argument("--fingerprint", metavar="F", help="only vectors made by this model and weights")


def printable(image_id: str) -> str:
    """Return an id as a table shows it. An id with characters that would move the cursor or be invisible is quoted."""
    return image_id if image_id.isprintable() else repr(image_id)
