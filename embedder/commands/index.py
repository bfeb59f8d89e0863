"""`embedder index`: make the index that answers `embedder similar` without reading the whole store."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from typing import Any

from embedder import exit_codes
from embedder.commands import add_store
from embedder.errors import ConfigurationError
from embedder.terminal.bars import steps_on_terminal
from embedder.terminal.screen import counted

EXAMPLES = """examples:
  embedder index dynamodb://table
  embedder index dynamodb://table --yes --json
"""


def add(commands: Any) -> None:
    """Define the command line of `embedder index`."""
    command = commands.add_parser(
        "index",
        help="make the index that similar searches",
        description="Make the index of a store, or bring it up to date. It can be ended and run again at any time.",
        epilog=EXAMPLES,
    )
    add_store(command)
    command.add_argument("--yes", action="store_true", help="agree to what it costs, without being asked")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the index, say what was done, and return the exit code."""
    from embedder.indexes import kind_for
    from embedder.stores import open_store

    with closing(open_store(arguments.store, must_exist=True)) as store, steps_on_terminal():
        kind = kind_for(store)
        if kind is None:
            raise ConfigurationError(f"{arguments.store} has no index; only dynamodb://TABLE has")
        if price := kind.price(None):
            _agree(price, arguments.yes)
        made = kind.make(None)
    if arguments.json:
        print(json.dumps(made.as_json()))
    else:
        left = f"; {made.figures['left']:,} of another length are not in it" if made.figures["left"] else ""
        print(f"{made.store}: the index {made.index}, {counted(made.figures['written'], 'vector')} added to it{left}")
    return exit_codes.DONE


def _agree(price: str, agreed: bool) -> None:
    """Ask whether what it costs is agreed to.

    Raises:
        ConfigurationError: it is not.
    """
    if agreed:
        print(price, file=sys.stderr)
    elif not sys.stdin.isatty():
        raise ConfigurationError(f"{price}; nothing was written; agree to it with --yes")
    else:
        print(f"{price}. Go on? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise ConfigurationError("nothing was written")
