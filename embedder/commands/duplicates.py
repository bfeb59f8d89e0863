"""`embedder duplicates`: groups of near-duplicates."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder import exit_codes
from embedder.commands import add_selection, add_store, tell_where
from embedder.terminal.bars import steps_on_terminal
from embedder.terminal.screen import counted, is_terminal, painted, printable, shortened, width
from embedder.terminal.tables import Column, print_table

if TYPE_CHECKING:
    from embedder.vectors.duplicates import Group

MEMBER_INDENT = 10
COLUMNS = tuple(map(Column, ("group", "image_id", "score", "keep")))

EXAMPLES = """examples:
  embedder duplicates vectors.db
  embedder duplicates vectors.db --threshold 0.95 --csv duplicates.csv
"""


def add(commands: Any) -> None:
    """Describe the command line of `embedder duplicates`."""
    command = commands.add_parser(
        "duplicates",
        help="find groups of near-duplicates",
        description="Group near-duplicates: each image of a group has a cosine of the threshold or more to its first, "
        "which is the one to keep: the largest file, of equals the first by id.",
        epilog=EXAMPLES,
    )
    add_store(command)
    command.add_argument(
        "--threshold",
        type=float,
        default=0.98,
        metavar="T",
        help="the least cosine to the image that is kept (0.98)",
    )
    add_selection(command)
    command.add_argument("--exact", action="store_true", help="find every pair, even if there is an index")
    command.add_argument("--csv", type=Path, metavar="F", help="write all groups to a file")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, print or write, and return the exit code."""
    from embedder.results.duplicates import duplicates
    from embedder.system.files import check_folder
    from embedder.vectors.duplicates import check_threshold
    from embedder.vectors.meaning import MEANINGLESS

    check_threshold(arguments.threshold)
    if arguments.csv is not None:
        check_folder(arguments.csv, f"--csv {arguments.csv}")
    with steps_on_terminal():
        found = duplicates(
            arguments.store,
            arguments.threshold,
            prefix=arguments.prefix,
            fingerprint=arguments.fingerprint,
            exact=arguments.exact,
        )
    if found.random:
        print(f"{arguments.store}: {MEANINGLESS}", file=sys.stderr)
    if found.way():
        print(found.way(), file=sys.stderr)
    if arguments.csv is not None:
        _write_csv(arguments.csv, found)
    if arguments.json:
        print(json.dumps(found.as_json()))
    elif arguments.csv is None:
        _print_groups(found)
    print(found.headline(), file=sys.stderr)
    if arguments.csv is not None:
        tell_where(arguments.csv)
    return exit_codes.DONE


def _print_groups(groups: Sequence[Group]) -> None:
    """Print the head of each group and its first members to a person, and every member to a pipe."""
    if not is_terminal(sys.stdout):
        print_table(COLUMNS, _rows(groups))
        return
    from embedder.results.duplicates import SHOWN_GROUPS, SHOWN_MEMBERS

    for number, group in enumerate(groups[:SHOWN_GROUPS], 1):
        print(painted(f"group {number}: {counted(len(group.members), 'image')}", "bold"))
        members = group.members[:SHOWN_MEMBERS]
        room = width() - MEMBER_INDENT
        for place, each in enumerate(members):
            label = f"{each.score:.4f}" if place else "keep"
            print(f"{label:>8}  {shortened(printable(each.image_id), room)}")
        if left := len(group.members) - len(members):
            print(f"{'':8}  … and {left:,} more", file=sys.stderr)
    if (left := len(groups) - SHOWN_GROUPS) > 0:
        print(f"… and {counted(left, 'more group')}; --csv duplicates.csv writes them all", file=sys.stderr)


def _rows(groups: Sequence[Group]) -> Iterator[tuple[str, str, str, str]]:
    for number, group in enumerate(groups, 1):
        for place, each in enumerate(group.members):
            yield str(number), each.image_id, f"{each.score:.6f}", "no" if place else "yes"


def _write_csv(path: Path, groups: Sequence[Group]) -> None:
    from embedder.system.files import writing

    with writing(path, "--csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([each.name for each in COLUMNS])
        writer.writerows(_rows(groups))
