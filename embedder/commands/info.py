"""`embedder info`: describe what a store contains."""

from __future__ import annotations

import argparse
import json
from typing import Any

from embedder import exit_codes
from embedder.commands import add_store


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
    """Count the vectors, print a summary, and return the exit code."""
    from embedder.vectors.summary import info

    contents = info(arguments.store)
    print(json.dumps(contents.as_json()) if arguments.json else contents.summary())
    return exit_codes.DONE
