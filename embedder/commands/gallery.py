"""`embedder gallery`: a page of a whole collection."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from embedder import exit_codes
from embedder.commands import add_selection, add_store, tell_where
from embedder.terminal.bars import steps_on_terminal
from embedder.terminal.screen import counted

PAGE = Path("gallery.html")

EXAMPLES = """examples:
  embedder gallery vectors.db
  embedder gallery vectors.db --labels words.txt
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
    command.add_argument("--html", type=Path, default=PAGE, metavar="F", help=f"the page to write ({PAGE})")
    command.add_argument("--images", metavar="ROOT", help="where the pictures are (where they were embedded)")
    command.add_argument("--failures", type=Path, metavar="F", help="show what embedder run --failures wrote")
    command.add_argument(
        "--threshold", type=float, default=0.98, metavar="T", help="near-duplicates' least cosine at first (0.98)"
    )
    command.add_argument("--labels", type=Path, metavar="F", help="name regions by the words in a file")
    command.add_argument(
        "--weights", default="default", metavar="W", help="the weights that made the store, for --labels"
    )
    add_selection(command)
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Make the page and return the exit code."""
    from embedder.results.gallery import gallery

    labels = _labels(arguments.labels)
    with steps_on_terminal():
        made = gallery(
            arguments.store,
            arguments.html,
            images=arguments.images,
            failures=arguments.failures,
            threshold=arguments.threshold,
            prefix=arguments.prefix,
            fingerprint=arguments.fingerprint,
            labels=labels,
            weights=arguments.weights,
        )
    note = f", {made.without_picture:,} without a picture" if made.without_picture else ""
    size = arguments.html.stat().st_size / 1e6
    print(f"{counted(made.images, 'image')}{note}, {size:.1f} MB, in {arguments.html}", file=sys.stderr)
    tell_where(arguments.html)
    return exit_codes.DONE


def _labels(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    from embedder.pages.labels import read_labels

    labels, repeated = read_labels(path)
    if repeated:
        print(f"{path}: {counted(repeated, 'line')} with a label that is there already", file=sys.stderr)
    return labels
