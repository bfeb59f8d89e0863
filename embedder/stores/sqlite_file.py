"""A SQLite file of vectors: opening it, bringing its schema forward, and what its errors mean.

Nothing but SQLite opens the file. When a process closes a file, the system takes back all locks that the process has
on it, also those of SQLite's connections in other threads; two processes that no longer lock each other out lose what
they write.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from embedder.errors import ConfigurationError, EmbedderError, TransientError
from embedder.records import ATTRIBUTES, KEY, SCHEMA_VERSION, Attribute
from embedder.system.files import check_access, check_folder, out_of_space, try_writing, unwritable

TYPES = {str: "TEXT", int: "INTEGER", float: "REAL", bytes: "BLOB"}

LEAST_BYTES = 512
"""In a SQLite file that is not empty. SQLite would take a shorter one for empty, and write over it."""

PAGE_BYTES = 16384
"""Six vectors of 512 float32 fit on a page with little left over; on the usual 4096 bytes only one does."""

BUSY_SECONDS = 60.0
"""How long to wait for another process's transaction."""

SYNC_SECONDS = 1.0
"""How much a power cut may cost, at most. To sync takes 0.3 to 40 ms, whatever the size of the transaction."""

BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

ELSEWHERE = "name another file with --store"


class SQLiteFile:
    """A file with a table `vectors`, by name; it need not exist yet.

    While a file is written its journal is a WAL, and `close` folds it back, so that one file is left, readable from a
    read-only disk. A killed process loses no transaction that it had committed. A power cut loses none once the file
    was closed; before that, at most those of one second, because a commit syncs the WAL if none did for so long. The
    file is never damaged: what was not synced is recognised by its checksums and left out, and the next run finds
    those images missing and embeds them again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = Path(name)
        self.synced = -SYNC_SECONDS

    def open_to_read(self) -> sqlite3.Connection | None:
        """Open the file, whatever its version; None if it is empty.

        Raises:
            ConfigurationError: the file is of something else, or of a newer embedder.
        """
        if 0 < self.path.stat().st_size < LEAST_BYTES:
            raise ConfigurationError(f"{self.name} is not a SQLite database; {ELSEWHERE}")
        with ExitStack() as opened:
            connection = opened.enter_context(closing(self._readable()))
            if found := columns(connection):
                self._check(connection, found)
                opened.pop_all()
                return connection
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ConfigurationError(
                    f"{self.name} is a SQLite database without a table `vectors`: it is not a store of embedder; "
                    f"{ELSEWHERE}"
                )
        return None

    def _readable(self) -> sqlite3.Connection:
        """Connect. A WAL that a killed writer left has to be recovered, which writes; on a read-only disk it cannot."""
        for mode in ("ro", "rw"):
            with ExitStack() as opened:
                try:
                    connection = opened.enter_context(closing(self._connect(mode)))
                    connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
                except sqlite3.OperationalError as error:
                    if _code(error) in BUSY:
                        raise
                else:
                    opened.pop_all()
                    return connection
        return self._connect("ro&immutable=1")

    def _check(self, connection: sqlite3.Connection, found: set[str]) -> None:
        self._refuse_newer(connection)
        if missing := [each.name for each in ATTRIBUTES if not each.optional and each.name not in found]:
            raise ConfigurationError(
                f"{self.name} has a table `vectors` without the column {missing[0]}: it is not a store of embedder; "
                f"{ELSEWHERE}"
            )

    def _refuse_newer(self, connection: sqlite3.Connection) -> int:
        """Return the version of the file's schema.

        Raises:
            ConfigurationError: it is newer than this embedder, which cannot know what the file means.
        """
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"{self.name} has schema version {version}, and this embedder knows version {SCHEMA_VERSION}; use the "
                "embedder that wrote the file, or a newer one"
            )
        return version

    def open_to_write(self) -> sqlite3.Connection:
        """Open the file with a WAL; create it if it does not exist, and bring it forward if it is older."""
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._writable()
            except sqlite3.OperationalError as error:
                # SQLite itself does not wait where two processes turn to a WAL at the same moment.
                if _code(error) not in BUSY or time.monotonic() > give_up:
                    raise
            time.sleep(0.02)

    def _writable(self) -> sqlite3.Connection:
        with ExitStack() as opened:
            connection = opened.enter_context(closing(self._connect("rwc")))
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # heeded where there is no table yet
            connection.execute("PRAGMA journal_mode = WAL")
            if self._refuse_newer(connection) < SCHEMA_VERSION:
                self._bring_forward(connection)
            opened.pop_all()
        return connection

    def _bring_forward(self, connection: sqlite3.Connection) -> None:
        """Make the table, or add the columns that it lacks. No row is touched."""
        with transaction(connection):
            self._refuse_newer(connection)  # another process may have been first
            found = columns(connection)
            if not found:
                connection.execute(f"CREATE TABLE vectors ({', '.join(map(_definition, ATTRIBUTES))})")
            for column in ATTRIBUTES if found else ():
                if column.name not in found:
                    connection.execute(f"ALTER TABLE vectors ADD COLUMN {_definition(column)}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def transaction(self, connection: sqlite3.Connection, *, sync: bool = False) -> Iterator[None]:
        """Commit what the block does, or nothing of it if the block raises.

        Args:
            sync: let this commit, and all before it, outlast a power cut; otherwise done once in `SYNC_SECONDS`.
        """
        sync = sync or time.monotonic() - self.synced >= SYNC_SECONDS
        connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
        with transaction(connection):
            yield
        if sync:
            self.synced = time.monotonic()

    def close(self, connection: sqlite3.Connection, *, written: bool) -> None:
        """Close a connection; one that may have written syncs the WAL and folds it back.

        Folding is refused while another process has the file open, which then does it; and it fails if the disk does.
        The WAL is on the disk all the same, and the next run folds it back.
        """
        with closing(connection):
            if not written:
                return
            try:
                with self.transaction(connection, sync=True):
                    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")  # as it is; none would not sync
            except sqlite3.OperationalError as error:
                if _code(error) not in BUSY:
                    raise
                # Another process is writing, and its own sync is of the same WAL.
            with suppress(sqlite3.DatabaseError):
                connection.execute("PRAGMA busy_timeout = 0")
                connection.execute("PRAGMA journal_mode = DELETE")

    def has_wal(self) -> bool:
        """Return whether there is a WAL, of a process that writes or of one that was killed."""
        return Path(f"{self.path}-wal").exists()

    def try_writing(self) -> None:
        """Find out whether the file can be written, or created, without doing either.

        Raises:
            ConfigurationError: it cannot.
            TransientError: the disk is full.
        """
        what = f"the store {self.name}"
        check_folder(self.path, what)
        try:
            if self.path.exists():
                check_access(self.path)
                check_access(self.path.parent)  # for the WAL
            else:
                try_writing(self.path.parent)  # not under this name: another run may be making the store just now
        except OSError as error:
            raise unwritable(what, error, f"check what user {os.getuid()} may write there, or {ELSEWHERE}") from None

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )

    @contextmanager
    def sentences(self) -> Iterator[None]:
        """Turn SQLite's errors into ours, about this file, and those of looking whether it is there."""
        try:
            yield
        except sqlite3.Error as error:
            raise self._explain(error) from error
        except OSError as error:
            raise ConfigurationError(
                f"the store {self.name} cannot be looked at: {error.strerror}; check its folder, or {ELSEWHERE}"
            ) from error

    def _explain(self, error: sqlite3.Error) -> EmbedderError:
        code = _code(error)
        if code == sqlite3.SQLITE_FULL:
            return out_of_space(f"the store {self.name}")
        if code in BUSY:
            return TransientError(f"{self.name} is locked by another process; run again when it is done")
        if code == sqlite3.SQLITE_IOERR:
            return TransientError(f"{self.name} could not be read or written: {error}; run again")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            return ConfigurationError(
                f"the store {self.name} cannot be opened or written: {error}; check its permissions"
            )
        if code == sqlite3.SQLITE_NOTADB:
            return ConfigurationError(f"{self.name} is not a SQLite database; {ELSEWHERE}")
        return ConfigurationError(f"the store {self.name} cannot be used: {error}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what the block does, or nothing of it if the block raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
    except BaseException:
        # A full disk has rolled it back already.
        with suppress(sqlite3.OperationalError):
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def columns(connection: sqlite3.Connection) -> set[str]:
    """Return the names of the table's columns, none if there is no table."""
    return {row[1] for row in connection.execute("PRAGMA table_info(vectors)")}


def _definition(column: Attribute) -> str:
    """Return a column as CREATE TABLE has it."""
    constraint = "" if column.optional else " NOT NULL"
    return f"{column.name} {TYPES[column.kind]}{constraint}" + (" PRIMARY KEY" if column.name == KEY else "")


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
