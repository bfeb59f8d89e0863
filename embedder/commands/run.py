"""`embedder run`: embed a source's images into a store."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from embedder import config, exit_codes, logs, options
from embedder.encoders import engine_names
from embedder.errors import ConfigurationError, EmbedderError
from embedder.pipeline.signals import listening
from embedder.pipeline.stopping import Stop

if TYPE_CHECKING:
    from embedder.pipeline.progress import AnyProgress
    from embedder.pipeline.report import Report
    from embedder.pipeline.session import Session

EXAMPLES = """examples:
  embedder run photos/
  embedder run photos/ --store vectors.db --weights resnet18.pth --failures failed.jsonl
  embedder run s3://bucket/images/ --store dynamodb://table
  embedder run shards/00000.jsonl --json
"""


def add(commands: Any) -> None:
    """Define the command line of `embedder run`."""
    command = commands.add_parser(
        "run",
        help="embed images into a store",
        description="Embed every image of SOURCE into a store. Images that are stored and unchanged are skipped.",
        epilog=EXAMPLES + "\nEvery option can also be given as EMBEDDER_<OPTION> in the environment.\n\n"
        "exit codes:\n" + "\n".join(f"  {line}" for line in (exit_codes.__doc__ or "").split("\n")[2:-3]),
    )
    command.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="a folder, an image file, s3://BUCKET/PREFIX/, a run s3://BUCKET/manifests/RUN_ID/, a shard "
        "(.jsonl or .txt), tar files (.tar, braces name many), or a table of addresses (.csv, .tsv or .parquet); each "
        "local or in S3",
    )
    command.add_argument(
        "--store",
        help="where the vectors go: the path of a SQLite file, or dynamodb://TABLE (default: a run's own table, else "
        "./vectors.db)",
    )
    for name, item in options.OPTIONS.items():
        about = {**item.metadata, "help": item.metadata["help"].replace("{engines}", ", ".join(engine_names()))}
        if isinstance(item.default, bool) or name == "normalize":
            action = argparse.BooleanOptionalAction if name == "normalize" else "store_true"
            command.add_argument(options.option_name(name), action=action, default=None, help=about["help"])
        else:
            command.add_argument(
                options.option_name(name), metavar=about["metavar"] or name.upper(), help=about["help"]
            )
    command.add_argument(
        "--json", action="store_true", default=None, help="print the report as JSON, as the last line of the output"
    )
    command.add_argument("--quiet", action="store_true", default=None, help="print no progress and no summary")
    command.add_argument(
        "--log",
        metavar="text|json",
        help="the form of log lines: text for a person, or json with CloudWatch metrics (default: json in AWS Batch, "
        "else text)",
    )
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Embed the images, print the report, and return the exit code."""
    stop = Stop()
    ending = Ending(stop)
    with listening(stop, ending.give_up):
        try:
            return _run(arguments, stop, ending)
        except EmbedderError as error:
            if stop.signal is None:
                raise
            logs.complain("embedder run", f"stopped by signal {stop.signal}: {error}")
            return exit_codes.SIGNAL_BASE + stop.signal


def _run(arguments: argparse.Namespace, stop: Stop, ending: Ending) -> int:
    ending.log_is_json = config.log_is_json(arguments.log)
    ending.quiet = bool(arguments.quiet or config.switch_from_environment("quiet"))
    logs.open_log(as_json=ending.log_is_json, origin=config.origin(arguments.source), quiet=ending.quiet)
    given = options.Layer(
        values={name: getattr(arguments, name) for name in options.OPTIONS}, called=options.option_name
    )
    source = arguments.source or config.text_from_environment("source")
    if not source:
        raise ConfigurationError(
            "SOURCE is missing: name a folder, s3://BUCKET/PREFIX/ or a shard, or set EMBEDDER_SOURCE"
        )
    store = arguments.store or config.text_from_environment("store")
    ending.as_json = bool(arguments.json or config.switch_from_environment("json"))

    from embedder.pipeline.progress import open_progress
    from embedder.pipeline.session import open_session

    progress = ending.progress = open_progress(
        quiet=ending.quiet, as_json=ending.log_is_json, deployment=config.deployment()
    )
    try:
        session = ending.session = open_session(
            source,
            store,
            given,
            config.environment_layer(),
            progress=progress,
            stop=stop,
            shard=config.shard_index(),
        )
        report = session.run()
    except BaseException:
        progress.close(None)
        raise
    ending.tell(report)
    if stop.signalled():
        # A thread may still be waiting for a network that does not answer. Do not wait for that thread.
        os._exit(report.exit_code)
    return report.exit_code


class Ending:
    """Prints the report exactly once: when the run has ended, or when a signal forces its end."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        self.as_json = False
        self.quiet = False
        self.log_is_json = False
        self.progress: AnyProgress | None = None
        self.session: Session | None = None
        self.told = threading.Lock()

    @property
    def begun(self) -> bool:
        """Whether the run has counted anything itself."""
        return self.session is not None and self.session.pipeline is not None

    def tell(self, report: Report) -> None:
        """Print the report."""
        self.told.acquire()  # never released, so that a forced end prints nothing more
        self._print(report)

    def give_up(self) -> None:
        """Print how far the run has come, and end the process at once."""
        if not self.told.acquire(blocking=False):
            return  # the run is printing its report
        if self.session and self.begun:
            self._print(self.session.report())
        elif not self.quiet:
            logs.complain("embedder run", "stopped before the first image")
        os._exit(exit_codes.SIGNAL_BASE + (self.stop.signal or 0))

    def _print(self, report: Report) -> None:
        if self.progress:
            # A run that never began shows the report of an earlier attempt, whose metrics are counted already.
            self.progress.close(report, counted=not self.begun)
        if not self.quiet and not self.log_is_json:
            print(report.summary(), file=sys.stderr if self.as_json else sys.stdout)
        if self.as_json:
            print(json.dumps(report.as_json()))
        sys.stdout.flush()
