"""rclone's S3 server: a second, independent S3, which verifies signatures. It ignores If-None-Match."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts import server
from tests.parts.aws import Credentials
from tests.parts.missing import missing

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def program() -> str:
    """The rclone of this virtual environment, else the machine's."""
    beside_python = shutil.which("rclone", path=str(Path(sys.executable).parent))
    return beside_python or shutil.which("rclone") or missing("rclone is not installed: run `scripts/setup`")


@contextmanager
def serving(folder: Path, credentials: Credentials) -> Iterator[str]:
    """The endpoint of a server for this caller only; buckets are folders in `folder`."""
    objects = folder / "objects"
    objects.mkdir(parents=True)
    log = folder / "rclone.log"
    command: list[str | Path] = [
        *(
            program(),
            "serve",
            "s3",
            "--config",
            "/dev/null",
            "--addr",
            "127.0.0.1:0",
            "--dir-cache-time",
            "1ms",  # with 0 every request reads every folder anew, and 150 objects take a hundred times as long
        ),
        *("--auth-key", f"{credentials.access_key},{credentials.secret_key}", objects),
    ]
    with server.serving("rclone", command, log, lambda: _address(log) is not None):
        yield _address(log) or ""


def _address(log: Path) -> str | None:
    found = ADDRESS.search(log.read_text(errors="replace"))
    return found and found[0]
