"""`embedder completion`: print the script that completes command lines in a shell."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from embedder import exit_codes
from embedder.terminal.completion import SHELLS, completion

EXAMPLES = """examples:
  eval "$(embedder completion bash)"                       # in ~/.bashrc
  eval "$(embedder completion zsh)"                        # in ~/.zshrc, after compinit
  embedder completion fish > ~/.config/fish/completions/embedder.fish
"""


def add(commands: Any) -> None:
    """Define the command line of `embedder completion`."""
    command = commands.add_parser(
        "completion",
        help="complete command lines in bash, zsh or fish",
        description="Print the script that makes a shell complete the commands, options and files.",
        epilog=EXAMPLES,
    )
    command.add_argument("shell", metavar="SHELL", choices=SHELLS, help=" or ".join(SHELLS))
    command.set_defaults(function=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the script, and return the exit code."""
    sys.stdout.write(completion(arguments.parser, arguments.shell))
    return exit_codes.DONE
