"""The store on one machine: a table `vectors` in one SQLite file."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from operator import attrgetter
from typing import Any

from embedder.errors import ConfigurationError
from embedder.records import (
    ATTRIBUTES,
    BLOCK_ATTRIBUTES,
    INFO_ATTRIBUTES,
    KEY,
    METADATA_ATTRIBUTES,
    Attribute,
    Block,
    StoredVector,
    VectorInfo,
)
from embedder.stores import changes
from embedder.stores.sqlite_file import SQLiteFile, columns
from embedder.system.threads import grouped

INSERT = (
    f"INSERT OR REPLACE INTO vectors ({', '.join(each.name for each in ATTRIBUTES)}) "
    f"VALUES ({', '.join('?' * len(ATTRIBUTES))})"
)

ROW = attrgetter(*(each.field for each in ATTRIBUTES))

VARIABLES = 500
"""Parameters in one statement; every SQLite build takes 999."""

ROWS = 1000
"""Rows read at a time."""


class SQLiteStore:
    """Vectors in one SQLite file; see `Store`.

    The first write creates the file, so that a run that fails early leaves none behind. Each `write` is one
    transaction. A file with an older schema is read as it is, and the first write brings it forward.
    """

    group: int | None = None
    writers = 1
    lookup_group = VARIABLES
    max_id_bytes = 1_000_000

    def __init__(
        self,
        name: str,
        *,
        must_exist: bool = False,
        stopping: threading.Event | None = None,  # noqa: ARG002 - as of every store; a disk is not waited for
    ) -> None:
        self.name = name
        self.file = SQLiteFile(name)
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.writable = False
        with self.file.sentences():
            if self.file.path.is_dir():
                raise ConfigurationError(
                    f"{name} is a folder; a store is a file, such as {name.rstrip('/')}/vectors.db"
                )
            if self.file.path.exists():
                self.connection = self.file.open_to_read()
            elif must_exist:
                raise ConfigurationError(f"there is no store at {name}; embedder run SOURCE --store {name} makes one")

    def _writer(self) -> sqlite3.Connection:
        """Return a connection that may write; the first call opens it."""
        if self.connection is None or not self.writable:
            connection = self.file.open_to_write()
            if self.connection is not None:
                self.connection.close()
            self.connection, self.writable = connection, True
        return self.connection

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._writer()
        with self.file.transaction(connection):
            yield connection

    def prepare(self, *, index: int | None = None) -> None:
        """Find out, before any work is spent, whether the file can be written.

        Raises:
            ConfigurationError: it cannot, or an index was asked for, which such a file has beside it.
            TransientError: the disk is full.
        """
        if index is not None:
            raise ConfigurationError(
                f"--index is for DynamoDB, whose tables have vector indexes; for a file, run "
                f"`embedder index {self.name}` once the vectors are stored"
            )
        with self.lock, self.file.sentences():
            self.file.try_writing()
            if self.file.has_wal():
                self._writer()  # a killed run left it; closing then folds it back even if nothing is written

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        return {row[0]: VectorInfo(*row) for row in self._rows_by_id(INFO_ATTRIBUTES, image_ids)}

    def sample(self) -> VectorInfo | None:
        rows = self._query(INFO_ATTRIBUTES, "LIMIT 1")
        return VectorInfo(*rows[0]) if rows else None

    def write(self, vectors: Sequence[StoredVector]) -> None:
        with self.lock, self.file.sentences(), self._transaction() as connection:
            connection.executemany(INSERT, map(ROW, vectors))

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        for row in self._rows_by_id(ATTRIBUTES, image_ids):
            yield StoredVector(*row[:-1], vector=row[-1])

    def blocks(self, prefix: str = "", *, metadata: bool = False) -> Iterator[Block]:
        wanted = BLOCK_ATTRIBUTES + METADATA_ATTRIBUTES * metadata
        start = prefix.encode()
        # GLOB and LIKE would treat some characters of the prefix as patterns, and substr of a text ends at a NUL.
        where = f"WHERE substr(CAST({KEY} AS BLOB), 1, ?) = ?" if prefix else ""
        for rows in self._stream(wanted, where, (len(start), start) if prefix else ()):
            yield Block.of(rows)

    def describe(self) -> Iterator[VectorInfo]:
        for rows in self._stream(INFO_ATTRIBUTES):
            yield from starmap(VectorInfo, rows)

    def delete(self, image_ids: Sequence[str]) -> None:
        with self.lock, self.file.sentences(), self._transaction() as connection:
            connection.executemany(f"DELETE FROM vectors WHERE {KEY} = ?", [(each,) for each in image_ids])

    def begin_index(self, token: str) -> None:
        """Note from now on which vectors change; see `changes`."""
        with self.lock, self.file.sentences(), self._transaction() as connection:
            changes.begin(connection, token)

    def keep_index(self, token: str) -> None:
        """Forget what changed before an index was begun, and every other index."""
        with self.lock, self.file.sentences(), self._transaction() as connection:
            changes.keep(connection, token)

    def changed_since(self, token: str, most: int) -> list[str] | None:
        """Return the ids written or deleted since an index was begun, at most `most`; None if that is not known."""
        with self.lock, self.file.sentences():
            return None if self.connection is None else changes.since(self.connection, token, most)

    def close(self) -> None:
        with self.lock, self.file.sentences():
            if self.connection is not None:
                connection, self.connection = self.connection, None
                self.file.close(connection, written=self.writable)

    def _rows_by_id(self, wanted: Iterable[Attribute], image_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for part in grouped(image_ids, VARIABLES):
            yield from self._query(wanted, f"WHERE {KEY} IN ({', '.join('?' * len(part))})", part)

    def _query(self, wanted: Iterable[Attribute], where: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.lock, self.file.sentences():
            if self.connection is None:
                return []
            return _select(self.connection, wanted, where, values).fetchall()

    def _stream(
        self, wanted: Iterable[Attribute], where: str = "", values: Sequence[Any] = ()
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Yield all rows, some at a time, in the order in which they were first written."""
        with self.lock, self.file.sentences():
            if self.connection is None:
                return
            cursor = _select(self.connection, wanted, f"{where} ORDER BY rowid", values)
        while True:
            with self.lock, self.file.sentences():
                rows = cursor.fetchmany(ROWS)
            if not rows:
                return
            yield rows


def _select(
    connection: sqlite3.Connection, wanted: Iterable[Attribute], where: str, values: Sequence[Any]
) -> sqlite3.Cursor:
    """Query the table. An older file may lack a column, until another process brings the file forward."""
    found = columns(connection)
    chosen = ", ".join(each.name if each.name in found else "NULL" for each in wanted)
    return connection.execute(f"SELECT {chosen} FROM vectors {where}", values)
