"""The words of the command line: a file each, with `add` for its arguments and `run` for its work."""

from __future__ import annotations

import argparse


def add_store(command: argparse.ArgumentParser) -> None:
    """Add the store that a command reads."""
    command.add_argument("store", metavar="STORE", help="a SQLite file or dynamodb://TABLE")


def add_selection(command: argparse.ArgumentParser) -> None:
    """Add the options that choose among a store's vectors."""
    command.add_argument("--prefix", default="", metavar="P", help="only ids that start with P")
    command.add_argument("--fingerprint", metavar="F", help="only vectors made by this model and weights")


def printable(image_id: str) -> str:
    """An id for a line of a table: as it is, or quoted where it would move the cursor or hide something."""
    return image_id if image_id.isprintable() else repr(image_id)
