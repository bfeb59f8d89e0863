"""The command `embedder`: parses the command line, runs the command, and returns its exit code.

Heavy libraries are imported only by the commands that need them, so that `--help` stays fast.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from embedder import __version__, config, exit_codes
from embedder.commands import doctor, duplicates, gallery, info, read, run, similar
from embedder.errors import ConfigurationError, EmbedderError
from embedder.logs import complain, is_json, logger, open_log

COMMANDS = (run, read, similar, gallery, duplicates, info, doctor)
"""Every command, in the order in which --help lists them."""


class Parser(argparse.ArgumentParser):
    """An argparse parser that reports a mistake in one sentence."""

    def __init__(self, *, prog: str, description: str, epilog: str | None = None) -> None:
        raw = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, epilog=epilog, formatter_class=raw, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        complain(self.prog, f"{message}; see {self.prog} --help")
        raise SystemExit(exit_codes.USAGE)


def parser() -> Parser:
    """Build the parser for all commands."""
    top = Parser(prog="embedder", description="Turn images into vectors, and account for every image.")
    top.add_argument("--version", action="version", version=f"embedder {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if os.getpid() == 1:
        # The kernel ignores a signal to a container's first process unless that process handles it.
        signal.signal(signal.SIGTERM, _end)
    program = "embedder"
    try:
        if config.log_is_json():
            open_log(as_json=True, origin=config.origin(None))  # first, so that a usage error is JSON, too
        arguments, unknown = parser().parse_known_args(argv)
        program = f"embedder {arguments.command}"
        if unknown:
            raise ConfigurationError(f"unknown option or argument {unknown[0]!r}; see {program} --help")
        function: Callable[[argparse.Namespace], int] = arguments.function
        return function(arguments)
    except EmbedderError as error:
        complain(program, str(error))
        return exit_codes.of_error(error)
    except BrokenPipeError:
        # The program that reads our output has ended, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.SIGNAL_BASE + signal.SIGPIPE
    except Exception as error:
        if not is_json():
            raise  # with its traceback
        logger.critical("%s: a bug: %s: %s", program, type(error).__name__, error, exc_info=True)
        return exit_codes.BUG
    except KeyboardInterrupt:
        return exit_codes.SIGNAL_BASE + signal.SIGINT


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(exit_codes.SIGNAL_BASE + number)
