"""`embedder read`: get vectors out of a store, into a file or a table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder import exit_codes
from embedder.commands import add_selection, add_store, tell_where
from embedder.errors import ConfigurationError
from embedder.terminal.bars import steps_on_terminal
from embedder.terminal.screen import is_terminal, printable
from embedder.terminal.tables import Column, print_table

if TYPE_CHECKING:
    from embedder.records import Vectors
    from embedder.stores import Store

SHOWN_ROWS = 20
"""Rows of the table that a person gets without --out."""
SHOWN_NUMBERS = 3
TABLE = (Column("image", fits=True), Column("numbers"), Column("the first of them"))

SUGGESTED_FOR = 3
"""Missing ids for which `read` suggests similar ids. For each one it compares the store's ids."""

EXAMPLES = """examples:
  embedder read vectors.db --out vectors.npz
  embedder read vectors.db cats/1.jpg cats/2.jpg
  embedder read dynamodb://table --prefix cats/ --out cats.parquet
"""


def add(commands: Any) -> None:
    """Define the command line of `embedder read`."""
    command = commands.add_parser(
        "read",
        help="get vectors back",
        description="Read all or some vectors into a file, or show them as a table.",
        epilog=EXAMPLES,
    )
    add_store(command)
    command.add_argument("ids", nargs="*", metavar="ID", help="the images wanted (all)")
    command.add_argument("--ids-file", type=Path, metavar="F", help="read ids from a file, one a line")
    add_selection(command)
    command.add_argument(
        "--out",
        metavar="F",
        help="write a file, such as F.npz, or fill a database",
    )
    command.set_defaults(function=run, more="ids")


def run(arguments: argparse.Namespace) -> int:
    """Read vectors, write or show them, and return the exit code."""
    from embedder.stores import open_store

    asked = _asked_ids(arguments)
    ids = None if asked is None else _stored_ids(arguments.store, asked)
    if arguments.out is not None:
        return _export(arguments, ids)
    with closing(open_store(arguments.store, must_exist=True)) as store:
        show = _show if is_terminal(sys.stdout) else _stream
        found = show(store, ids, prefix=arguments.prefix, fingerprint=arguments.fingerprint)
    return _name_missing(ids, found, arguments)


def _export(arguments: argparse.Namespace, ids: list[str] | None) -> int:
    """Write vectors to a file or a collection, and return the exit code."""
    from embedder.exports import Wanted, open_target

    target = open_target(arguments.out)
    wanted = Wanted(store=arguments.store, ids=ids, prefix=arguments.prefix, fingerprint=arguments.fingerprint)
    with steps_on_terminal():
        done = target(wanted)
    print(done.summary, file=sys.stderr)
    if done.path is not None:
        tell_where(done.path)
    for each in done.refused:
        print(f"embedder read: {each}", file=sys.stderr)
    code = _name_missing(ids, done.found, arguments)
    return exit_codes.NOT_FOUND if done.refused else code


def _show(store: Store, ids: list[str] | None, *, prefix: str, fingerprint: str | None) -> list[str]:
    """Print a table of a few vectors for a person, and return the ids that were found, or some of them for all."""
    from embedder.vectors.reader import select
    from embedder.vectors.summary import first_ids

    shown, count = first_ids(store, ids, SHOWN_ROWS, prefix=prefix, fingerprint=fingerprint)
    found, vectors = select(store, shown, fingerprint=fingerprint)
    print_table(TABLE, [_row(*each) for each in zip(found, vectors, strict=True)])
    if count > len(found):
        print(f"… and {count - len(found):,} more; --out vectors.npz writes them all", file=sys.stderr)
    return found


def _row(image_id: str, vector: Vectors) -> tuple[str, str, str]:
    start = " ".join(f"{value:7.4f}" for value in vector[:SHOWN_NUMBERS])
    return image_id, f"{len(vector)} x {vector.dtype}", f"{start} …" if len(vector) > SHOWN_NUMBERS else start


def _stream(store: Store, ids: list[str] | None, *, prefix: str, fingerprint: str | None) -> list[str]:
    """Print every vector in full, a line each, and return the ids that were found, or some of them for all.

    Vectors that were asked for by id come in the order of the ids, all others in the store's own.
    """
    from embedder.exports.text import text_rows

    found: list[str] = []
    for image_id, kind, numbers in text_rows(store, ids, prefix=prefix, fingerprint=fingerprint):
        sys.stdout.write(f"{printable(image_id)}\t{kind}\t{numbers}\n")
        if ids is not None or not found:
            found.append(image_id)
    return found


def _stored_ids(name: str, asked: Sequence[str]) -> list[str]:
    """Return the ids as the store writes them. An id that is not stored stays unchanged."""
    if all(each.isascii() for each in asked):
        return list(asked)  # nothing to ask the store
    from embedder.stores import open_store
    from embedder.vectors.ids import as_stored

    with closing(open_store(name, must_exist=True)) as store:
        return as_stored(store, asked)


def _asked_ids(arguments: argparse.Namespace) -> list[str] | None:
    if arguments.ids_file is None:
        return arguments.ids or None
    try:
        lines = arguments.ids_file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--ids-file {arguments.ids_file} cannot be read: {error}") from None
    return [*arguments.ids, *(line.removesuffix("\r") for line in lines if line.strip())]


def _name_missing(ids: list[str] | None, found: Sequence[str], arguments: argparse.Namespace) -> int:
    if ids is None and not found:
        print(f"embedder read: no vector in {arguments.store} matches", file=sys.stderr)
        return exit_codes.NOT_FOUND
    stored = set(found)
    missing = [each for each in ids or () if each not in stored]
    if not missing:
        return exit_codes.DONE
    from embedder.stores import open_store
    from embedder.vectors.ids import suggestions

    with closing(open_store(arguments.store, must_exist=True)) as store:
        for each, close in zip_longest(missing, suggestions(store, missing[:SUGGESTED_FOR])):
            hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
            print(f"embedder read: {each!r} is not in {arguments.store}{hint}", file=sys.stderr)
    return exit_codes.NOT_FOUND
