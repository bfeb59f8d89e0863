"""`embedder run`: embed a source's images into a store."""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any, TextIO

from embedder import config, exit_codes, logs, options
from embedder.encoders import engine_names
from embedder.errors import ConfigurationError, EmbedderError
from embedder.pipeline.signals import SIGNALS, listening
from embedder.pipeline.stopping import Stop

if TYPE_CHECKING:
    from embedder.pipeline.progress import AnyProgress
    from embedder.pipeline.report import Report
    from embedder.pipeline.session import Session

EXAMPLES = """examples:
  embedder run photos/
  embedder run photos/*.jpg more/ --store vectors.db --failures failed.jsonl
  embedder run s3://bucket/images/ --store dynamodb://table
  embedder run shards/00000.jsonl --json
"""

TITLES = {
    "common": "common options",
    "model": "the model and its vectors",
    "speed": "speed",
    "failures": "failures",
    "cloud": "cloud and network",
}


def add(commands: Any) -> None:
    """Define the command line of `embedder run`."""
    command = commands.add_parser(
        "run",
        usage="embedder run SOURCE… [options]",
        help="embed images into a store",
        description="Embed every image of SOURCE into a store. Images that are stored and unchanged are skipped.",
        epilog=EXAMPLES + "\nEvery option can also be given as EMBEDDER_<OPTION> in the environment. What stands in "
        "parentheses is the default; docs/reference.md says more about each option.\n\n"
        "exit codes:\n" + "\n".join(f"  {line}" for line in (exit_codes.__doc__ or "").split("\n")[2:-3]),
    )
    command.add_argument(
        "sources",
        nargs="*",
        metavar="SOURCE",
        help="a folder, an image file, s3://BUCKET/PREFIX/, a run s3://BUCKET/manifests/RUN_ID/, a shard "
        "(.jsonl or .txt), tar files (.tar, braces name many), or a table of addresses (.csv, .tsv or .parquet); each "
        "local or in S3",
    )
    groups = {name: command.add_argument_group(title) for name, title in TITLES.items() if name != "common"}
    command._optionals.title = TITLES["common"]
    groups["common"] = command
    command.add_argument("--store", help="a SQLite file, or dynamodb://TABLE (./vectors.db)")
    for name, item in options.OPTIONS.items():
        about = {**item.metadata, "help": item.metadata["help"].replace("{engines}", ", ".join(engine_names()))}
        group = groups[about["group"]]
        if isinstance(item.default, bool) or name == "normalize":
            action = argparse.BooleanOptionalAction if name == "normalize" else "store_true"
            group.add_argument(options.option_name(name), action=action, default=None, help=about["help"])
        else:
            group.add_argument(options.option_name(name), metavar=about["metavar"] or name.upper(), help=about["help"])
    command.add_argument("--json", action="store_true", default=None, help="end with the report as one line of JSON")
    command.add_argument("--quiet", action="store_true", default=None, help="print no progress and no summary")
    groups["cloud"].add_argument(
        "--log", metavar="text|json", help="the form of log lines (json in AWS Batch, else text)"
    )
    command.set_defaults(function=run, more="sources")


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
    named = ", ".join(arguments.sources) or None
    logs.open_log(as_json=ending.log_is_json, origin=config.origin(named), quiet=ending.quiet)
    given = options.Layer(
        values={name: getattr(arguments, name) for name in options.OPTIONS}, called=options.option_name
    )
    inherited = config.text_from_environment("source")
    sources = arguments.sources or ([inherited] if inherited else [])
    if not sources:
        raise ConfigurationError(
            "SOURCE is missing: name a folder, s3://BUCKET/PREFIX/ or a shard, or set EMBEDDER_SOURCE"
        )
    store = arguments.store or config.text_from_environment("store")
    ending.as_json = bool(arguments.json or config.switch_from_environment("json"))

    from embedder.pipeline.progress import TerminalProgress, open_progress
    from embedder.pipeline.session import open_session
    from embedder.system.steps import shown_on

    progress = ending.progress = open_progress(
        quiet=ending.quiet,
        as_json=ending.log_is_json,
        deployment=config.deployment(),
        stopping=stop.signalled,
    )
    display = progress if isinstance(progress, TerminalProgress) else None
    try:
        with shown_on(display):
            session = ending.session = open_session(
                sources,
                store,
                given,
                config.environment_layer(),
                progress=progress,
                stop=stop,
                shard=config.shard_index(),
                count=not ending.quiet and not ending.log_is_json,
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
        else:
            if self.progress:
                self.progress.close(None)
            if not self.quiet:
                logs.complain("embedder run", "stopped before the first image")
        os._exit(exit_codes.SIGNAL_BASE + (self.stop.signal or 0))

    def _print(self, report: Report) -> None:
        if self.progress:
            # A run that never began shows the report of an earlier attempt, whose metrics are counted already.
            self.progress.close(report, counted=not self.begun)
        if self.quiet:
            _complain_of(report)
        elif not self.log_is_json:
            _print_summary(report, sys.stderr if self.as_json else sys.stdout)
        if self.as_json:
            print(json.dumps(report.as_json()))
        sys.stdout.flush()


def _print_summary(report: Report, stream: TextIO) -> None:
    from embedder.pipeline.summary import summarize
    from embedder.terminal.screen import USUAL_WIDTH, painted, width

    for place, line in enumerate(summarize(report, min(USUAL_WIDTH, width()))):
        word, colon, rest = line.partition(":")
        style = {"failed": "red", "faster": "yellow"}.get(word) if colon else None
        if style:
            line = f"{painted(word, style, stream)}:{rest}"
        print(line if place else painted(line, "bold", stream), file=stream)


def _complain_of(report: Report) -> None:
    """Say in one sentence, even to a person who wants it quiet, why a run ended badly by itself."""
    from embedder.pipeline.summary import all_failed

    if report.exit_code in (exit_codes.DONE, *(exit_codes.SIGNAL_BASE + number for number in SIGNALS)):
        return
    causes = ", ".join(f"{count:,} {cause}" for cause, count in report.failures_by_cause.items())
    if report.failed == report.images:
        why = f"{all_failed(report).removesuffix('.')} ({causes})"
    else:
        why = f"{report.failed:,} of {report.images:,} images failed ({causes})" if report.failed else ""
    stopped = f"stopped after {report.images:,} images: {report.stopped}" if report.stopped else ""
    logs.complain("embedder run", "; ".join(filter(None, (stopped, why, "--failures FILE names each" * bool(why)))))
