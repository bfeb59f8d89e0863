"""`embedder similar`: find the images most like a stored one, or like any picture."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from embedder import exit_codes
from embedder.commands import add_selection, add_store, tell_where
from embedder.errors import ConfigurationError
from embedder.terminal.bars import steps_on_terminal
from embedder.terminal.screen import counted
from embedder.terminal.tables import Column, print_table

TABLE = (Column("cosine", "right"), Column("image", fits=True))

EXAMPLES = """examples:
  embedder similar vectors.db cats/1.jpg
  embedder similar vectors.db holiday.jpg -k 20 --html similar.html
  embedder similar dynamodb://table s3://bucket/new.jpg --json
  embedder similar vectors.db --text "a red car in snow"
"""


def add(commands: Any) -> None:
    """Define the command line of `embedder similar`."""
    command = commands.add_parser(
        "similar",
        help="find the images most like one",
        description="Find the images whose vectors have the largest cosine to that of QUERY.",
        epilog=EXAMPLES,
    )
    add_store(command)
    command.add_argument(
        "query", nargs="?", metavar="QUERY", help="the id of a stored image, else an image file or s3:// address"
    )
    command.add_argument("--text", metavar="WORDS", help="search by words instead, if the model reads them")
    command.add_argument("-k", type=int, default=10, metavar="N", help="how many (10)")
    add_selection(command)
    command.add_argument("--html", type=Path, metavar="F", help="write a page with the pictures")
    command.add_argument("--images", metavar="ROOT", help="where the pictures are (where they were embedded)")
    query = command.add_argument_group("the model, for a query that is not stored")
    query.add_argument(
        "--weights", default="default", metavar="W", help="the store's weights: default, random or a PATH (default)"
    )
    query.add_argument("--device", default="auto", metavar="D", help="auto, cpu or cuda (auto)")
    query.add_argument("--engine", default="auto", metavar="E", help="what runs the model, as for embedder run (auto)")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, print the matches, and return the exit code."""
    from embedder.results.similar import similar
    from embedder.vectors.meaning import MEANINGLESS

    if arguments.k < 1:
        raise ConfigurationError(f"-k {arguments.k}: expected 1 or more")
    if (arguments.query is None) == (arguments.text is None):
        raise ConfigurationError("expected one query: an image as QUERY, or words as --text WORDS")
    if arguments.html is not None:
        from embedder.pages import check_page

        check_page(arguments.html)
    with steps_on_terminal():
        found = similar(
            arguments.store,
            arguments.query,
            arguments.k,
            text=arguments.text,
            images=arguments.images,
            prefix=arguments.prefix,
            fingerprint=arguments.fingerprint,
            weights=arguments.weights,
            device=arguments.device,
            engine=arguments.engine,
        )
    if found.random:
        print(f"{arguments.store}: {MEANINGLESS}", file=sys.stderr)
    if found.remark or found.searched_by:
        print(found.remark or f"searched by {found.searched_by}", file=sys.stderr)
    if arguments.html is not None:
        from embedder.pages.similar import write_similar
        from embedder.stores import open_store

        with closing(open_store(arguments.store, must_exist=True)) as store, steps_on_terminal():
            write_similar(
                arguments.html,
                store,
                found.query,
                found,
                images=found.images,
                stored=found.stored,
                text=arguments.text is not None,
            )
        print(f"{counted(len(found), 'picture')} in {arguments.html}", file=sys.stderr)
        tell_where(arguments.html)
    if arguments.json:
        print(json.dumps(found.as_json()))
    elif arguments.html is None:
        print_table(TABLE, [(f"{each.score:.4f}", each.image_id) for each in found])
    return exit_codes.DONE
