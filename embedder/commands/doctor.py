"""`embedder doctor`: is everything there that a run will need?"""

from __future__ import annotations

import argparse
import json
from typing import Any

from embedder import config, exit_codes

EXAMPLES = """examples:
  embedder doctor
  embedder doctor photos/ --store vectors.db
  embedder doctor s3://bucket/images/ --store dynamodb://table
"""


def add(commands: Any) -> None:
    """Describe the command line of `embedder doctor`."""
    command = commands.add_parser(
        "doctor",
        help="check what a run will need",
        description="Check what a run from SOURCE to STORE will need, each with a remedy. Nothing is changed.",
        epilog=EXAMPLES + "\nOptions that are not here are read from EMBEDDER_<OPTION>, as `embedder run` reads them.",
    )
    command.add_argument(
        "source", nargs="?", metavar="SOURCE", help="what `embedder run` will be given (default: none)"
    )
    command.add_argument("--store", help="where its vectors will go (default: a run's table, or none)")
    for name in ("model", "weights"):
        about = config.OPTIONS[name].metadata
        command.add_argument(config.option_name(name), metavar=about["metavar"], help=about["help"])
    command.add_argument("--json", action="store_true", help="print a JSON list instead")
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Look at everything, print, and return the exit code."""
    given = config.Layer(
        values={name: getattr(arguments, name) for name in ("model", "weights")}, called=config.option_name
    )
    options = config.RunOptions.resolve(given, config.environment_layer())
    source = arguments.source or config.text_from_environment("source")
    store = arguments.store or config.text_from_environment("store")
    shard = config.shard_index()

    from embedder.doctor import Result, examine
    from embedder.doctor.plan import checks
    from embedder.system.cores import sharing

    results: list[Result] = []
    with sharing(options.cores):
        for result in examine(checks(source, store, options, shard)):
            results.append(result)
            if not arguments.json:
                _show(result)
    counts = {
        status: sum(each.status == status for each in results) for status in ("ok", "warning", "failed", "skipped")
    }
    if arguments.json:
        print(json.dumps([each.as_json() for each in results]))
    else:
        print(f"{len(results)} checks: " + ", ".join(f"{count} {status}" for status, count in counts.items()))
    return exit_codes.UNHEALTHY if counts["failed"] else exit_codes.DONE


def _show(result: Any) -> None:
    print(f"{result.status:8} {result.check:16} {result.found}", flush=True)
    if result.remedy:
        print(f"{'':25} → {result.remedy}", flush=True)
