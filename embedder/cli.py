"""The command `embedder`: parses the command line, runs the command, and returns its exit code.

Heavy libraries are imported only by the commands that need them, so that `--help` stays fast.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

from embedder import __version__, config, exit_codes
from embedder.commands import completion, doctor, duplicates, gallery, index, info, read, run, similar
from embedder.errors import ConfigurationError, EmbedderError
from embedder.logs import complain, is_json, logger, open_log
from embedder.terminal.screen import width, wrapped

COMMANDS = (run, read, similar, gallery, duplicates, index, info, doctor, completion)
"""Every command, in the order in which --help lists them."""

WIDEST_HELP = 100
COLUMN = 23
"""The column of an option's sentence in the help, so that each option is one line of 80 columns."""

EXAMPLES = """examples:
  embedder run photos/                          embed a folder into vectors.db
  embedder similar vectors.db photos/1.jpg      find the pictures most like one
  embedder gallery vectors.db                   see all of them on one page

embedder COMMAND --help says more about a command.
"""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal, up to a readable line."""

    def __init__(self, prog: str, **others: Any) -> None:
        super().__init__(prog, **{**others, "max_help_position": COLUMN, "width": min(width(), WIDEST_HELP)})
        self._action_max_length = COLUMN  # the same column in every help, however short the options are

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Break the lines of a description, but not those of an example; the number of an exit code stands out."""
        lines: list[str] = []
        for line in text.splitlines():
            start = re.match(r"  \d+ +|", line)
            margin = start[0] if start else ""
            if line.startswith("  ") and not margin:
                lines.append(line)
            else:
                first, *others = wrapped(line.removeprefix(margin), width - len(margin))
                lines += [margin + first, *(" " * len(margin) + each for each in others)]
        return "".join(f"{indent}{line}\n" for line in lines)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if isinstance(action, argparse.BooleanOptionalAction):
            return action.option_strings[0].replace("--", "--[no-]")
        return super()._format_action_invocation(action)


class Parser(argparse.ArgumentParser):
    """An argparse parser that reports a mistake in one sentence."""

    def __init__(
        self, *, prog: str, description: str, epilog: str | None = None, usage: str | None = None, **others: Any
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            formatter_class=Formatter,
            allow_abbrev=False,
            **others,
        )
        self._positionals.title = "arguments"

    def error(self, message: str) -> NoReturn:
        complain(self.prog, f"{message}; see {self.prog} --help")
        raise SystemExit(exit_codes.USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = list(map(str, action.choices))
            hint = _meant(str(value), known) or f"; expected one of {', '.join(known)}"
            self.error(f"there is no {action.metavar} {value!r}{hint}")

    def named(self) -> list[str]:
        """Return every option's name."""
        return [name for action in self._actions for name in action.option_strings]


def parser() -> Parser:
    """Build the parser for all commands."""
    top = Parser(
        prog="embedder",
        usage="embedder COMMAND …",
        description="Turn images into vectors, and account for every image.",
        epilog=EXAMPLES,
    )
    top.add_argument("--version", action="version", version=f"embedder {__version__}", help="print the version")
    top.set_defaults(parser=top)
    commands = top.add_subparsers(title="commands", prog="embedder", dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    for each in commands.choices.values():
        each.set_defaults(own_parser=each)
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
        words = list(sys.argv[1:] if argv is None else argv)
        if not words and not is_json():
            parser().print_help(sys.stderr)
            return exit_codes.USAGE
        arguments, unknown = parser().parse_known_args(words)
        program = f"embedder {arguments.command}"
        _take_rest(arguments, unknown)
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


def _take_rest(arguments: argparse.Namespace, unknown: list[str]) -> None:
    """Give a command the words that argparse has left over.

    Of several words after options argparse takes the first group only: `run a.jpg --json b.jpg` leaves `b.jpg`.

    Raises:
        ConfigurationError: there is no such option or argument.
    """
    more: str = getattr(arguments, "more", "")
    wrong = [each for each in unknown if each.startswith("-") or not more]
    if wrong:
        name = wrong[0].partition("=")[0]
        close = _meant(name, arguments.own_parser.named())
        raise ConfigurationError(f"unknown option or argument {name!r}{close}; see embedder {arguments.command} --help")
    if unknown:
        setattr(arguments, more, [*getattr(arguments, more), *unknown])


def _meant(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _end(number: int, _frame: object) -> NoReturn:
    raise SystemExit(exit_codes.SIGNAL_BASE + number)
