"""`embedder …` without the seconds that a process costs: the same words in, the same code and output out."""

from __future__ import annotations

import contextlib
import io
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from embedder import cli
from tests.cli import ROOT, Result

HEAVY = {
    "torch",
    "torchvision",
    "PIL",
    "numpy",
    "boto3",
    "botocore",
    "tqdm",
    "pandas",
    "pyarrow",
    "safetensors",
    "faiss",
}


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Put back what a command changes in its process: signal handlers, and where logs go."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    root, own = logging.getLogger(), logging.getLogger("embedder")
    before, levels = list(root.handlers), (root.level, own.level)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        root.handlers[:] = before
        for each, level in zip((root, own), levels, strict=True):
            each.setLevel(level)


def command(*arguments: str | Path) -> Result:
    """Run a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with restored(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main([str(each) for each in arguments])
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
    return Result(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def imported(*arguments: str | Path, folder: Path) -> tuple[Result, set[str]]:
    """Run a command as a process of its own, and say which of the heavy packages it imported."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "embedder", *map(str, arguments)],
        cwd=folder,
        env={**_environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = process.stderr.splitlines()
    modules = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "embedder.cli" in modules
    stderr = "\n".join(line for line in lines if not line.startswith("import time:"))
    found = {module.partition(".")[0] for module in modules} & HEAVY
    return Result(returncode=process.returncode, stdout=process.stdout, stderr=stderr), found


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)
