"""`embedder info`: describe what a store contains."""

from __future__ import annotations

import argparse
import json
from typing import Any

from embedder import exit_codes
from embedder.commands import add_store
from embedder.terminal.tables import Column, print_table

TABLE = (Column("what"), Column("value", fits=True))


def add(commands: Any) -> None:
    """Define the command line of `embedder info`."""
    command = commands.add_parser(
        "info",
        help="describe what a store contains",
        description="Show how many vectors a store contains, their dimensions, and what made them.",
    )
    add_store(command)
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Count the vectors, print them as a table, and return the exit code."""
    from embedder.vectors.summary import info

    contents = info(arguments.store)
    if arguments.json:
        print(json.dumps(contents.as_json()))
    else:
        print_table(TABLE, contents.rows())
    return exit_codes.DONE
