"""`embedder gallery`: a page of a whole collection."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from embedder import exit_codes
from embedder.commands import add_selection, add_store

EXAMPLES = """examples:
  embedder gallery vectors.db --html gallery.html
  embedder gallery dynamodb://table --prefix cats/ --images s3://bucket/ --failures failed.jsonl --html cats.html
"""


def add(commands: Any) -> None:
    """Describe the command line of `embedder gallery`."""
    command = commands.add_parser(
        "gallery",
        help="make a page of a whole collection",
        description="Write one page: a map with alike images side by side, near-duplicates, outliers and failures.",
        epilog=EXAMPLES,
    )
    add_store(command)
    command.add_argument("--html", type=Path, required=True, metavar="F", help="the page to write")
    command.add_argument(
        "--images", metavar="ROOT", help="where the pictures are (default: where they were embedded from)"
    )
    command.add_argument("--failures", type=Path, metavar="F", help="show what embedder run --failures wrote")
    command.add_argument(
        "--threshold",
        type=float,
        default=0.98,
        metavar="T",
        help="the least cosine of near-duplicates at first (default: 0.98)",
    )
    add_selection(command)
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the page and return the exit code."""
    from embedder.library.gallery import gallery

    made = gallery(
        arguments.store,
        arguments.html,
        images=arguments.images,
        failures=arguments.failures,
        threshold=arguments.threshold,
        prefix=arguments.prefix,
        fingerprint=arguments.fingerprint,
    )
    counted = "1 image" if made.images == 1 else f"{made.images:,} images"
    note = f", {made.without_picture:,} without a picture" if made.without_picture else ""
    size = arguments.html.stat().st_size / 1e6
    print(f"{counted}{note}, {size:.1f} MB, in {arguments.html}", file=sys.stderr)
    return exit_codes.DONE
