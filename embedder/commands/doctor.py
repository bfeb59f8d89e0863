"""`embedder doctor`: check that everything is there that a run will need."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from embedder import config, exit_codes, options
from embedder.terminal.screen import columns, is_terminal, painted, width, wrapped

if TYPE_CHECKING:
    from embedder.doctor import Result

INDENT = 26
"""The columns of a result's status and name."""
LEAST_ROOM = 24
STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}

EXAMPLES = """examples:
  embedder doctor
  embedder doctor photos/ --store vectors.db
  embedder doctor s3://bucket/images/ --store dynamodb://table
"""


def add(commands: Any) -> None:
    """Define the command line of `embedder doctor`."""
    command = commands.add_parser(
        "doctor",
        help="check what a run needs",
        description="Check everything that a run from SOURCE to STORE needs, and name a remedy for what is missing. "
        "The checks change nothing.",
        epilog=EXAMPLES + "\nOther options of `embedder run` are taken from EMBEDDER_<OPTION>, as a run takes them.",
    )
    command.add_argument("source", nargs="?", metavar="SOURCE", help="the source that `embedder run` will read (none)")
    command.add_argument("--store", help="the store for the vectors (a run's table, else none)")
    for name in ("model", "weights"):
        about = options.OPTIONS[name].metadata
        command.add_argument(options.option_name(name), metavar=about["metavar"], help=about["help"])
    command.add_argument("--json", action="store_true", help="print the results as a JSON list")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Run every check, print the results, and return the exit code."""
    given = options.Layer(
        values={name: getattr(arguments, name) for name in ("model", "weights")}, called=options.option_name
    )
    chosen = options.RunOptions.resolve(given, config.environment_layer())
    source = arguments.source or config.text_from_environment("source")
    store = arguments.store or config.text_from_environment("store")
    shard = config.shard_index()

    from embedder.doctor import examine
    from embedder.doctor.plan import checks
    from embedder.system.cores import sharing

    results: list[Result] = []
    with sharing(chosen.cores):
        for result in examine(checks(source, store, chosen, shard)):
            results.append(result)
            if not arguments.json:
                show(result)
    counts = {
        status: sum(each.status == status for each in results) for status in ("ok", "warning", "failed", "skipped")
    }
    if arguments.json:
        print(json.dumps([each.as_json() for each in results]))
    else:
        print(f"{len(results)} checks: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return exit_codes.UNHEALTHY if counts["failed"] else exit_codes.DONE


def show(result: Result) -> None:
    """Print a result, broken at words on a terminal."""
    style = STYLES.get(result.status)
    status = painted(f"{result.status:8}", style) if style else f"{result.status:8}"
    room = max(LEAST_ROOM, width() - INDENT) if is_terminal(sys.stdout) else sys.maxsize
    found, *more = wrapped(result.found, room)
    print(f"{status} {result.check:16} {found}")
    for line in [*more, *(wrapped(f"→ {result.remedy}", room, "  ") if result.remedy else [])]:
        print(" " * max(0, min(INDENT, width() - columns(line))) + line)  # a long address moves to the left
    sys.stdout.flush()
