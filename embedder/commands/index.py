"""`embedder index`: make a large store quick to search."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from typing import Any

from embedder import exit_codes
from embedder.commands import add_store
from embedder.errors import ConfigurationError
from embedder.terminal.bars import duration, steps_on_terminal
from embedder.terminal.screen import counted, is_terminal

EXAMPLES = """examples:
  embedder index vectors.db
  embedder index dynamodb://table --yes
"""


def add(commands: Any) -> None:
    """Define the command line of `embedder index`."""
    command = commands.add_parser(
        "index",
        help="make a large store quick to search",
        description="Make an index, with which similar, duplicates and gallery need not read all of STORE, or bring "
        "it up to date.",
        epilog=EXAMPLES,
    )
    add_store(command)
    command.add_argument("--fingerprint", metavar="F", help="only vectors made by this model and weights")
    command.add_argument("--yes", action="store_true", help="agree to what it costs, without being asked")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the index, print what it is, and return the exit code."""
    from embedder.indexes import kind_for
    from embedder.stores import open_store

    with closing(open_store(arguments.store, must_exist=True)) as store:
        kind = kind_for(store)
        if kind is None:
            raise ConfigurationError(f"there is no index for a store such as {arguments.store}")
        price = kind.price(arguments.fingerprint)
        if price is not None:
            print(price, file=sys.stderr)
            if not arguments.yes and not _agreed():
                raise ConfigurationError("nothing was made; pass --yes to agree to what it costs")
        with steps_on_terminal():
            made = kind.make(arguments.fingerprint)
    if arguments.json:
        print(json.dumps(made.as_json()))
    else:
        count = counted(made.vectors, "vector")
        print(f"{made.index}: {count} of {made.fingerprint}, made in {duration(made.seconds)}")
        for name, value in made.figures.items():
            print(f"  {name.replace('_', ' ')}: {value:,}" if isinstance(value, int) else f"  {name}: {value}")
    return exit_codes.DONE


def _agreed() -> bool:
    """Ask a person at a terminal; nobody else agrees."""
    if not is_terminal(sys.stdin):
        return False
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
