"""The store on one machine: a table `vectors` in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embedder.errors import ConfigurationError, EmbedderError, TransientError
from embedder.records import Block, StoredVector, VectorInfo

# The vector comes last, so that reading the other columns does not walk through its pages.
COLUMNS = {
    "ImageId": "image_id",
    "DataType": "data_type",
    "Dimension": "dimension",
    "Created": "created",
    "Fingerprint": "fingerprint",
    "ETag": "etag",
    "Source": "source",
    "Modified": "modified",
    "Vector": "vector",
}
INFO_COLUMNS = ", ".join(list(COLUMNS)[:-1])
ALL_COLUMNS = ", ".join(COLUMNS)
BLOCK_COLUMNS = "ImageId, Fingerprint, DataType, Dimension, Vector"

SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (
    ImageId TEXT NOT NULL PRIMARY KEY,
    DataType TEXT NOT NULL,
    Dimension INTEGER NOT NULL,
    Created TEXT NOT NULL,
    Fingerprint TEXT NOT NULL,
    ETag TEXT NOT NULL,
    Source TEXT NOT NULL,
    Modified TEXT,
    Vector BLOB NOT NULL
)
"""

MAGIC = b"SQLite format 3\0"
"""What every SQLite file that is not empty begins with."""

PAGE_BYTES = 16384
"""Six vectors of 512 float32 fit on a page with little left over; on the usual 4096 bytes only one does."""

VARIABLES = 500
"""Parameters in one statement; every SQLite build takes 999."""

BUSY_SECONDS = 60.0
"""How long to wait for another process's transaction."""


class SQLiteStore:
    """Vectors in one SQLite file; see `Store`.

    The file is created by the first write, so that a run that fails early leaves none behind. While
    it is written its journal is a WAL, one transaction a `write`; closing it folds the WAL back, so
    that one file is left, readable from a read-only disk.
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
        self.path = Path(name)
        self.lock = threading.RLock()
        self.connection: sqlite3.Connection | None = None
        self.writable = False
        if self.path.is_dir():
            raise ConfigurationError(f"{name} is a folder; a store is a file, such as {name.rstrip('/')}/vectors.db")
        if self.path.exists():
            with self._sentences():
                self._open_existing()
        elif must_exist:
            raise ConfigurationError(f"there is no store at {name}; embedder run SOURCE --store {name} makes one")

    def _open_existing(self) -> None:
        with suppress(OSError), self.path.open("rb") as file:
            # SQLite takes a short file of any kind for an empty database, and would write over it.
            if file.read(len(MAGIC)) not in (b"", MAGIC):
                raise ConfigurationError(f"{self.name} is not a SQLite database; name another file with --store")
        try:
            connection = self._connect("ro")
            connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
        except sqlite3.OperationalError:
            # A WAL left by a killed writer needs recovery, which needs to write.
            try:
                connection = self._connect("rw")
                connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            except sqlite3.OperationalError:
                connection = self._connect("ro&immutable=1")
        found = [row[1] for row in connection.execute("PRAGMA table_info(vectors)")]
        if missing := [column for column in COLUMNS if column not in found and found]:
            raise ConfigurationError(
                f"{self.name} has a table `vectors` without the column {missing[0]}: it is not a store of "
                "embedder; name another file"
            )
        if found:
            self.connection = connection
            return
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        connection.close()
        if tables:
            raise ConfigurationError(
                f"{self.name} is a SQLite database without a table `vectors`: it is not a store of embedder; "
                "name another file"
            )

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    def _writer(self) -> sqlite3.Connection:
        """Return a connection that may write; the first call creates what is not there."""
        if self.connection is None or not self.writable:
            connection = self._connect("rwc")
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # heeded where there is no table yet
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(SCHEMA)
            if self.connection is not None:
                self.connection.close()
            self.connection, self.writable = connection, True
        return self.connection

    def prepare(self) -> None:
        """Find out, before any work is spent, whether the file can be written.

        Raises:
            ConfigurationError: it cannot.
        """
        with self.lock, self._sentences():
            if not self.path.parent.is_dir():
                raise ConfigurationError(
                    f"the store {self.name} cannot be made: there is no folder {self.path.parent}; make it first"
                )
            try:
                if self.path.exists():
                    self.path.open("ab").close()
                else:
                    # By another name: another run may be making the store just now.
                    tempfile.TemporaryFile(dir=self.path.parent).close()
            except OSError as error:
                raise ConfigurationError(
                    f"the store {self.name} cannot be written by user {os.getuid()}: {error.strerror}; check the "
                    "folder's permissions or name another with --store"
                ) from None
            if Path(f"{self.path}-wal").exists():
                self._writer()  # a killed run has left it, and closing folds it back even if nothing is written

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        return {row[0]: _info(row) for row in self._rows_by_id(INFO_COLUMNS, image_ids)}

    def sample(self) -> VectorInfo | None:
        rows = self._query(f"SELECT {INFO_COLUMNS} FROM vectors LIMIT 1")
        return _info(rows[0]) if rows else None

    def write(self, vectors: Sequence[StoredVector]) -> None:
        names = list(COLUMNS.values())
        rows = [tuple(getattr(vector, name) for name in names) for vector in vectors]
        marks = ", ".join("?" * len(names))
        with self.lock, self._sentences(), _transaction(self._writer()) as connection:
            connection.executemany(f"INSERT OR REPLACE INTO vectors ({ALL_COLUMNS}) VALUES ({marks})", rows)

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        for row in self._rows_by_id(ALL_COLUMNS, image_ids):
            yield _vector(row)

    def blocks(self, prefix: str = "") -> Iterator[Block]:
        start = prefix.encode()
        # GLOB and LIKE would treat some characters of the prefix as patterns, and substr of a text ends at a NUL.
        where = "WHERE substr(CAST(ImageId AS BLOB), 1, ?) = ?" if prefix else ""
        query = f"SELECT {BLOCK_COLUMNS} FROM vectors {where} ORDER BY rowid"
        for rows in self._stream(query, (len(start), start) if prefix else ()):
            image_ids, fingerprints, data_types, dimensions, vectors = zip(*rows, strict=True)
            yield Block(
                image_ids=image_ids,
                fingerprints=fingerprints,
                data_types=data_types,
                dimensions=dimensions,
                vectors=vectors,
            )

    def describe(self) -> Iterator[VectorInfo]:
        for rows in self._stream(f"SELECT {INFO_COLUMNS} FROM vectors ORDER BY rowid", ()):
            yield from map(_info, rows)

    def delete(self, image_ids: Sequence[str]) -> None:
        with self.lock, self._sentences(), _transaction(self._writer()) as connection:
            connection.executemany("DELETE FROM vectors WHERE ImageId = ?", [(each,) for each in image_ids])

    def close(self) -> None:
        with self.lock:
            if self.connection is None:
                return
            if self.writable:
                # Refused while another process has the file open; then that one does it.
                with suppress(sqlite3.OperationalError):
                    self.connection.execute("PRAGMA busy_timeout = 0")
                    self.connection.execute("PRAGMA journal_mode = DELETE")
            self.connection.close()
            self.connection = None

    def _rows_by_id(self, columns: str, image_ids: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(image_ids), VARIABLES):
            part = image_ids[start : start + VARIABLES]
            marks = ", ".join("?" * len(part))
            yield from self._query(f"SELECT {columns} FROM vectors WHERE ImageId IN ({marks})", part)

    def _query(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.lock, self._sentences():
            if self.connection is None:
                return []
            return self.connection.execute(query, parameters).fetchall()

    def _stream(self, query: str, parameters: Sequence[Any]) -> Iterator[list[tuple[Any, ...]]]:
        with self.lock, self._sentences():
            cursor = self.connection.execute(query, parameters) if self.connection is not None else None
        while cursor is not None:
            with self.lock, self._sentences():
                rows = cursor.fetchmany(1000)
            if not rows:
                return
            yield rows

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> EmbedderError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return TransientError(f"the disk of {self.name} is full; make room and run again")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return TransientError(f"{self.name} is locked by another process; run again when it is done")
        if code == sqlite3.SQLITE_IOERR:
            return TransientError(f"{self.name} could not be read or written: {error}; run again")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return ConfigurationError(
                f"the store {self.name} cannot be opened or written: {error}; check its permissions"
            )
        if code == sqlite3.SQLITE_NOTADB:
            return ConfigurationError(f"{self.name} is not a SQLite database; name another file with --store")
        return ConfigurationError(f"the store {self.name} cannot be used: {error}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        # A full disk has rolled it back already.
        with suppress(sqlite3.OperationalError):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _info(row: tuple[Any, ...]) -> VectorInfo:
    image_id, data_type, dimension, created, fingerprint, etag, source, modified = row
    return VectorInfo(
        image_id=image_id,
        data_type=data_type,
        dimension=dimension,
        created=created,
        fingerprint=fingerprint,
        etag=etag,
        source=source,
        modified=modified,
    )


def _vector(row: tuple[Any, ...]) -> StoredVector:
    return StoredVector(**dict(zip(COLUMNS.values(), row, strict=True)))
