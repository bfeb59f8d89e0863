"""`embedder similar`: find the images most like a stored one, or like any picture."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder import exit_codes
from embedder.commands import add_selection, add_store, counted, tell_where
from embedder.errors import ConfigurationError
from embedder.terminal.bars import steps_on_terminal
from embedder.terminal.tables import Column, print_table

if TYPE_CHECKING:
    from embedder.records import Vectors
    from embedder.stores import Store
    from embedder.vectors.search import Match

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
    from embedder.stores import open_store
    from embedder.vectors.meaning import MEANINGLESS, made_at_random

    if arguments.k < 1:
        raise ConfigurationError(f"-k {arguments.k}: expected 1 or more")
    if (arguments.query is None) == (arguments.text is None):
        raise ConfigurationError("expected one query: an image as QUERY, or words as --text WORDS")
    if arguments.html is not None:
        from embedder.pages import check_page

        check_page(arguments.html)
    with closing(open_store(arguments.store, must_exist=True)) as store, steps_on_terminal():
        found, vector_is_stored = _search(store, arguments)
        sample = store.sample()
        if sample is not None and made_at_random(arguments.fingerprint or sample.fingerprint):
            print(f"{arguments.store}: {MEANINGLESS}", file=sys.stderr)
        if arguments.html is not None:
            from embedder.pages.similar import write_similar

            write_similar(
                arguments.html,
                store,
                arguments.query or arguments.text,
                found,
                images=arguments.images,
                stored=vector_is_stored,
                text=arguments.text is not None,
            )
    if arguments.html is not None:
        print(f"{counted(len(found), 'picture')} in {arguments.html}", file=sys.stderr)
        tell_where(arguments.html)
    if arguments.json:
        matches = [{"image_id": each.image_id, "score": round(each.score, 6)} for each in found]
        asked = {"query": arguments.query} if arguments.text is None else {"text": arguments.text}
        print(json.dumps({"store": arguments.store, **asked, "matches": matches}))
    elif arguments.html is None:
        print_table(TABLE, [(f"{each.score:.4f}", each.image_id) for each in found])
    return exit_codes.DONE


def _search(store: Store, arguments: argparse.Namespace) -> tuple[list[Match], bool]:
    """Return the matches, and whether the query is a stored image."""
    from embedder.vectors.ids import as_stored
    from embedder.vectors.search import nearest, nearest_to_stored

    narrowed = {"fingerprint": arguments.fingerprint, "prefix": arguments.prefix}
    if arguments.text is not None:
        return nearest(store, _worded(store, arguments), arguments.k, **narrowed), False
    (image_id,) = as_stored(store, [arguments.query])
    found = nearest_to_stored(store, image_id, arguments.k, **narrowed)
    if found is not None:
        return found, True
    return nearest(store, _embedded(store, arguments), arguments.k, **narrowed), False


def _worded(store: Store, arguments: argparse.Namespace) -> Vectors:
    from embedder.vectors.query import embed_text, stored_fingerprint

    identity = stored_fingerprint(store, arguments.fingerprint)
    return embed_text(arguments.text, identity, store=arguments.store, weights=arguments.weights)


def _embedded(store: Store, arguments: argparse.Namespace) -> Vectors:
    query = arguments.query
    if "://" not in query and not Path(query).exists():
        from embedder.vectors.ids import suggestions

        (near,) = suggestions(store, [query])
        close = " or ".join(map(repr, near))
        remedy = f"did you mean {close}?" if close else "embedder read lists the ids"
        raise ConfigurationError(f"{query!r} is neither an id in {arguments.store} nor a file; {remedy}")
    from embedder.vectors.query import embed_query, stored_fingerprint  # loads no model yet

    return embed_query(
        query,
        stored_fingerprint(store, arguments.fingerprint),
        store=arguments.store,
        weights=arguments.weights,
        device=arguments.device,
        engine=arguments.engine,
    )
