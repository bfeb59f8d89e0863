"""A table of PostgreSQL with pgvector, `postgresql://USER@HOST:PORT/DATABASE#TABLE`. It needs the extra `pgvector`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from embedder.errors import ConfigurationError, TransientError
from embedder.exports import Mark, without_password
from embedder.exports.transfer import CARRIED, MARK, carried, column, needed, wrong_dimension
from embedder.records import KEY, StoredVector, VectorInfo, Vectors

DEFAULT_TABLE = "vectors"
GROUP_BYTES = 4 << 20
"""Of numbers in one transaction."""
LONGEST_ID = 2600
"""Bytes; an entry of an index of PostgreSQL has at most 2,704."""
CONNECT_SECONDS = 15

PORTS = re.compile(r"[0-9,]*")

NAMES = (KEY, *(each.name for each in CARRIED), "Vector")
COLUMNS = tuple(map(column, NAMES))
TYPES = {str: "text", int: "bigint"}

PASSING = re.compile(r"starting up|shutting down|in recovery|too many clients|connection slots")
"""In a server's refusal of a connection that it may accept later."""

DESCRIBE = """
SELECT attname, atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped
"""


class PostgresTable:
    """A table; see `Collection`. Nothing that is shown has the password."""

    def __init__(self, address: str) -> None:
        dsn, _, table = address.partition("#")
        self.name = without_password(address)
        self.psycopg = needed("psycopg", "pgvector", self.name)
        register = needed("pgvector.psycopg", "pgvector", self.name).register_vector
        identifier = self.psycopg.sql.Identifier
        self.table = identifier(*(table or DEFAULT_TABLE).split("."))
        try:
            parts = self.psycopg.conninfo.conninfo_to_dict(dsn)
        except self.psycopg.ProgrammingError:
            parts = None
        # libpq's own sentences may quote a part of the password.
        if parts is None or "@" in parts.get("host", "") or not PORTS.fullmatch(str(parts.get("port", ""))):
            raise ConfigurationError(
                f"--out {self.name}: expected postgresql://USER@HOST:PORT/DATABASE#TABLE, in which a password has %40 "
                "for @, %2F for / and %3A for :"
            )
        with self._sentences():
            self.connection = self.psycopg.connect(dsn, connect_timeout=CONNECT_SECONDS, autocommit=True)
        self.register = register

    def fit(self, first: VectorInfo) -> int:
        types = {KEY: "text PRIMARY KEY", "Vector": f"vector({first.dimension})"}
        types |= {each.name: TYPES[each.kind] for each in CARRIED}
        columns = ", ".join(f"{name} {types[each]}" for each, name in zip(NAMES, COLUMNS, strict=True))
        with self._sentences():
            self._extend()
            self.register(self.connection)
            found = self._columns()
            if not found:
                self.connection.execute(self._sql(f"CREATE TABLE IF NOT EXISTS {{}} ({columns})"))
                found = self._columns()
        if missing := [each for each in COLUMNS if each not in found]:
            raise ConfigurationError(f"{self.name} is a table without the column {missing[0]}; name another one")
        if found["vector"] not in (first.dimension, -1):
            raise wrong_dimension(self.name, found["vector"], first)
        return max(1, GROUP_BYTES // (4 * first.dimension))

    def _extend(self) -> None:
        """Make the extension, if the database lacks it."""
        if self.connection.execute("SELECT FROM pg_extension WHERE extname = 'vector'").fetchone() is None:
            try:
                self.connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            except self.psycopg.Error as error:
                raise ConfigurationError(
                    f"the database of {self.name} lacks the extension vector: {error.diag.message_primary}; install "
                    "pgvector on the server, and let an administrator run CREATE EXTENSION vector"
                ) from error

    def _columns(self) -> dict[str, int]:
        """Return the columns of the table, with what PostgreSQL keeps of their types: of vectors the dimension."""
        return dict(self.connection.execute(DESCRIBE, [self.table.as_string(self.connection)]).fetchall())

    def refusal(self, image_id: str) -> str | None:
        if "\0" in image_id:
            return "has a NUL, which PostgreSQL does not store"
        too_long = f"is longer than the {LONGEST_ID} bytes that an index of PostgreSQL takes"
        return too_long if len(image_id.encode()) > LONGEST_ID else None

    def marks(self, image_ids: Sequence[str]) -> Mapping[str, Mark]:
        wanted = ", ".join(map(column, (KEY, *MARK)))
        with self._sentences():
            query = self._sql(f"SELECT {wanted} FROM {{}} WHERE {column(KEY)} = ANY(%s)")
            return {row[0]: row[1:] for row in self.connection.execute(query, [list(image_ids)])}

    def put(self, vectors: Sequence[StoredVector], numbers: Vectors) -> None:
        places = ", ".join(["%s"] * len(COLUMNS))
        changes = ", ".join(f"{each} = EXCLUDED.{each}" for each in COLUMNS[1:])
        insert = self._sql(
            f"INSERT INTO {{}} ({', '.join(COLUMNS)}) VALUES ({places}) "
            f"ON CONFLICT ({column(KEY)}) DO UPDATE SET {changes}"
        )
        kept = (
            {KEY: each.image_id, **carried(each), "Vector": row} for each, row in zip(vectors, numbers, strict=True)
        )
        with self._sentences(), self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(insert, [[each.get(name) for name in NAMES] for each in kept])

    def close(self) -> None:
        self.connection.close()

    def _sql(self, text: str) -> Any:
        """Return a statement in which `{}` is the table."""
        return self.psycopg.sql.SQL(text).format(self.table)

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn psycopg's errors into ours: a server that does not answer may do so later, one that refuses may not."""
        try:
            yield
        except self.psycopg.OperationalError as error:
            text = " ".join(str(error).split())
            if "FATAL:" in text and not PASSING.search(text):
                raise ConfigurationError(f"{self.name} refuses: {text.partition('FATAL:')[2].strip()}") from error
            raise TransientError(f"{self.name} does not answer: {text}; run again") from error
        except self.psycopg.Error as error:
            text = error.diag.message_primary or " ".join(str(error).split())
            raise ConfigurationError(f"{self.name} cannot be written: {text}") from error
