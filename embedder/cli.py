"""The command `embedder`: words in, exit codes out. What is heavy is imported when it is needed."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from embedder import __version__, config, exit_codes
from embedder.errors import ConfigurationError, EmbedderError
from embedder.stop import Stop

SHOWN_ROWS = 20
"""Rows of the table that `read` prints without --out."""

RUN_EXAMPLES = """examples:
  embedder run photos/
  embedder run photos/ --store vectors.db --weights resnet18.pth --failures failed.jsonl
  embedder run s3://bucket/images/ --store dynamodb://table
  embedder run shards/00000.jsonl --json
"""

READ_EXAMPLES = """examples:
  embedder read vectors.db --out vectors.npz
  embedder read vectors.db cats/1.jpg cats/2.jpg
  embedder read dynamodb://table --prefix cats/ --out cats.parquet
"""


class Parser(argparse.ArgumentParser):
    """argparse with one sentence for a mistake."""

    def __init__(self, *, prog: str, description: str, epilog: str | None = None) -> None:
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, epilog=epilog, formatter_class=raw, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(exit_codes.USAGE)


def parser() -> Parser:
    """The whole command line."""
    top = Parser(prog="embedder", description="Images in, vectors out, every image accounted for.")
    top.add_argument("--version", action="version", version=f"embedder {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_read(commands)
    _add_info(commands)
    return top


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="embed images into a store",
        description="Embed every image of SOURCE into a store; what is stored and unchanged is skipped.",
        epilog=RUN_EXAMPLES + "\nEvery option can also be given as EMBEDDER_<OPTION> in the environment.\n\n"
        "exit codes:\n" + "\n".join(f"  {line}" for line in (exit_codes.__doc__ or "").split("\n")[2:-3]),
    )
    run.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="a folder, an image file, s3://BUCKET/PREFIX/, a run s3://BUCKET/manifests/RUN_ID/, or a shard "
        "(.jsonl or .txt, local or in S3)",
    )
    run.add_argument("--store", help="vectors.db, any SQLite file, or dynamodb://TABLE (default: ./vectors.db)")
    for name, item in config.OPTIONS.items():
        about = item.metadata
        if isinstance(item.default, bool):
            action = argparse.BooleanOptionalAction if name == "normalize" else "store_true"
            run.add_argument(config.option_name(name), action=action, default=None, help=about["help"])
        else:
            run.add_argument(config.option_name(name), metavar=about["metavar"] or name.upper(), help=about["help"])
    run.add_argument("--json", action="store_true", default=None, help="print the report as JSON, the last line")
    run.add_argument("--quiet", action="store_true", default=None, help="print no progress and no summary")
    run.set_defaults(function=_run)


def _add_read(commands: Any) -> None:
    read = commands.add_parser(
        "read",
        help="get vectors back",
        description="Read vectors, all or some, to a file or a table.",
        epilog=READ_EXAMPLES,
    )
    read.add_argument("store", metavar="STORE", help="a SQLite file or dynamodb://TABLE")
    read.add_argument("ids", nargs="*", metavar="ID", help="the images wanted (default: all)")
    read.add_argument("--ids-file", type=Path, metavar="F", help="read ids from this file, one a line")
    read.add_argument("--prefix", default="", metavar="P", help="only ids that start with P")
    read.add_argument("--fingerprint", metavar="F", help="only vectors made by this model and weights")
    read.add_argument("--out", type=Path, metavar="F", help="write to F.npz (arrays ids, vectors), F.npy or F.parquet")
    read.set_defaults(function=_read)


def _add_info(commands: Any) -> None:
    info = commands.add_parser("info", help="say what a store holds", description="Say what a store holds.")
    info.add_argument("store", metavar="STORE", help="a SQLite file or dynamodb://TABLE")
    info.add_argument("--json", action="store_true", help="print one JSON object")
    info.set_defaults(function=_info)


def _run(arguments: argparse.Namespace) -> int:
    stop = Stop()
    _install_handlers(stop)
    given = {name: value for name in config.OPTIONS if (value := getattr(arguments, name)) is not None}
    for name, value in given.items():
        given[name] = config.parse_value(name, value, called=config.option_name(name))
    source = arguments.source or config.text_from_environment("source")
    if not source:
        raise ConfigurationError(
            "SOURCE is missing: name a folder, s3://BUCKET/PREFIX/ or a shard, or set EMBEDDER_SOURCE"
        )
    store = arguments.store or config.text_from_environment("store")
    as_json = arguments.json or config.switch_from_environment("json")
    quiet = arguments.quiet or config.switch_from_environment("quiet")
    options = [given, config.options_from_environment()]
    shard = config.shard_index()

    import logging

    from embedder.progress import open_progress
    from embedder.runner import run

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("botocore").setLevel(logging.WARNING)
    progress = open_progress(quiet=quiet)
    try:
        report = run(source, store, options, progress=progress, stop=stop, shard=shard)
    finally:
        progress.close()
    if not quiet:
        print(report.summary(), file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(report.as_json()))
    if stop.signalled():
        # A thread may still be waiting for a network that does not answer; nobody waits for it.
        sys.stdout.flush()
        os._exit(report.exit_code)
    return report.exit_code


def _install_handlers(stop: Stop) -> None:
    """The first signal stops the run in good order, a second one at once."""

    def handle(number: int, _frame: object) -> None:
        if stop.signalled():
            os._exit(exit_codes.SIGNAL_BASE + number)
        stop.by_signal(number)

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


def _read(arguments: argparse.Namespace) -> int:
    from embedder.export import check_target, write_vectors
    from embedder.reader import read

    ids = _asked_ids(arguments)
    if arguments.out is not None:
        check_target(arguments.out)
    found, vectors = read(arguments.store, ids, prefix=arguments.prefix, fingerprint=arguments.fingerprint)
    if arguments.out is not None:
        write_vectors(arguments.out, found, vectors)
        print(f"{len(found):,} vectors of dimension {vectors.shape[1]} in {arguments.out}", file=sys.stderr)
    else:
        _print_table(found, vectors)
    return _name_missing(ids, found, arguments)


def _asked_ids(arguments: argparse.Namespace) -> list[str] | None:
    if arguments.ids_file is None:
        return arguments.ids or None
    try:
        lines = arguments.ids_file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--ids-file {arguments.ids_file} cannot be read: {error}") from None
    return [*arguments.ids, *(line.removesuffix("\r") for line in lines if line.strip())]


def _print_table(ids: Sequence[str], vectors: Any) -> None:
    for image_id, vector in zip(ids[:SHOWN_ROWS], vectors, strict=False):
        start = " ".join(f"{value:8.4f}" for value in vector[:4])
        shown = image_id if image_id.isprintable() else repr(image_id)
        print(f"{shown}\t{len(vector)} x {vector.dtype}\t{start} …")
    if len(ids) > SHOWN_ROWS:
        print(f"… and {len(ids) - SHOWN_ROWS:,} more; --out vectors.npz writes them all")


def _name_missing(ids: list[str] | None, found: Sequence[str], arguments: argparse.Namespace) -> int:
    if ids is None and not found:
        print(f"embedder read: no vector in {arguments.store} fits", file=sys.stderr)
        return exit_codes.NOT_FOUND
    stored = set(found)
    missing = [each for each in ids or () if each not in stored]
    for each in missing:
        print(f"embedder read: {each!r} is not in {arguments.store}", file=sys.stderr)
    return exit_codes.NOT_FOUND if missing else exit_codes.DONE


def _info(arguments: argparse.Namespace) -> int:
    from embedder.inventory import describe

    inventory = describe(arguments.store)
    print(json.dumps(inventory.as_json()) if arguments.json else inventory.summary())
    return exit_codes.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments, unknown = parser().parse_known_args(argv)
    function: Callable[[argparse.Namespace], int] = arguments.function
    try:
        if unknown:
            command = f"embedder {arguments.command}"
            raise ConfigurationError(f"unknown option or word {unknown[0]!r}; see {command} --help")
        return function(arguments)
    except EmbedderError as error:
        print(f"embedder {arguments.command}: {error}", file=sys.stderr)
        return exit_codes.of_error(error)
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.SIGNAL_BASE + signal.SIGPIPE
    except KeyboardInterrupt:
        return exit_codes.SIGNAL_BASE + signal.SIGINT
