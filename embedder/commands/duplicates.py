"""`embedder duplicates`: groups of near-duplicates."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedder import exit_codes
from embedder.commands import add_selection, add_store, printable

if TYPE_CHECKING:
    from embedder.vectors.duplicates import Group

SHOWN_GROUPS = 20
"""The most groups that the table shows."""

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
        help="the least cosine to the image that is kept (default: 0.98)",
    )
    add_selection(command)
    command.add_argument("--csv", type=Path, metavar="F", help="write group, image_id, score and keep to this file")
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Search, print or write, and return the exit code."""
    from embedder.library.duplicates import duplicates
    from embedder.system.files import check_folder
    from embedder.vectors.duplicates import check_threshold
    from embedder.vectors.meaning import MEANINGLESS

    check_threshold(arguments.threshold)
    if arguments.csv is not None:
        check_folder(arguments.csv, f"--csv {arguments.csv}")
    found = duplicates(arguments.store, arguments.threshold, prefix=arguments.prefix, fingerprint=arguments.fingerprint)
    if found.random:
        print(f"{arguments.store}: {MEANINGLESS}", file=sys.stderr)
    if arguments.csv is not None:
        _write_csv(arguments.csv, found)
    if arguments.json:
        print(json.dumps(found.as_json()))
    elif arguments.csv is None:
        _print_table(found)
    print(found.headline(), file=sys.stderr)
    return exit_codes.DONE


def _print_table(groups: Sequence[Group]) -> None:
    for group in groups[:SHOWN_GROUPS]:
        for place, each in enumerate(group.members):
            figure = f"{each.score:7.4f}" if place else f"{len(group.members):7,}"
            print(f"{figure}  {printable(each.image_id)}")
    if len(groups) > SHOWN_GROUPS:
        print(f"… and {len(groups) - SHOWN_GROUPS:,} more groups; --csv duplicates.csv writes them all")


def _write_csv(path: Path, groups: Sequence[Group]) -> None:
    from embedder.system.files import writing

    with writing(path, "--csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["group", "image_id", "score", "keep"])
        for number, group in enumerate(groups, 1):
            kept, *others = group.members
            writer.writerow([number, kept.image_id, f"{kept.score:.6f}", "yes"])
            writer.writerows([number, each.image_id, f"{each.score:.6f}", "no"] for each in others)
