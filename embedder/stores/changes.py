"""What has changed in a SQLite file since an index of it was begun.

Triggers keep the list, so that it is complete whoever writes: an older embedder, or the shell `sqlite3`. An index is
known by a token in the file. A copy of the file has the token and its own list; a file from before the index lacks it.
"""

from __future__ import annotations

import sqlite3

from embedder.records import KEY

LOG = "index_changes"
TOKENS = "index_tokens"
EVENTS = {"INSERT": ("new",), "DELETE": ("old",), "UPDATE": ("old", "new")}
"""Which rows each event changes. INSERT OR REPLACE is an INSERT: the row it replaces has the same id."""


def begin(connection: sqlite3.Connection, token: str) -> None:
    """Enter a token; changes from now on count as later than it. To be called in a transaction."""
    # A number is never given twice, so that a token's number divides the earlier changes from the later ones.
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {LOG} (Number INTEGER PRIMARY KEY AUTOINCREMENT, {KEY} TEXT UNIQUE)"
    )
    connection.execute(f"CREATE TABLE IF NOT EXISTS {TOKENS} (Token TEXT PRIMARY KEY, Number INTEGER NOT NULL)")
    for event, rows in EVENTS.items():
        # Not INSERT OR REPLACE: the conflict clause of the statement that fires a trigger overrides the trigger's own.
        noted = "".join(
            f"DELETE FROM {LOG} WHERE {KEY} = {row}.{KEY}; INSERT INTO {LOG} ({KEY}) VALUES ({row}.{KEY}); "
            for row in rows
        )
        connection.execute(f"CREATE TRIGGER IF NOT EXISTS {_trigger(event)} AFTER {event} ON vectors BEGIN {noted}END")
    last = f"SELECT ?, coalesce((SELECT seq FROM sqlite_sequence WHERE name = '{LOG}'), 0)"
    connection.execute(f"INSERT INTO {TOKENS} {last}", (token,))


def keep(connection: sqlite3.Connection, token: str) -> None:
    """Delete every other token, and the changes that are no later than this one."""
    connection.execute(f"DELETE FROM {LOG} WHERE Number <= (SELECT Number FROM {TOKENS} WHERE Token = ?)", (token,))
    connection.execute(f"DELETE FROM {TOKENS} WHERE Token <> ?", (token,))


def since(connection: sqlite3.Connection, token: str, most: int) -> list[str] | None:
    """Return the ids that changed since a token was entered, at most `most`; None if the file does not know it."""
    parts = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'trigger')")}
    if not {LOG, TOKENS, *map(_trigger, EVENTS)} <= parts:
        return None
    found = connection.execute(f"SELECT Number FROM {TOKENS} WHERE Token = ?", (token,)).fetchone()
    if found is None:
        return None
    rows = connection.execute(f"SELECT {KEY} FROM {LOG} WHERE Number > ? LIMIT ?", (found[0], most))
    return [row[0] for row in rows]


def _trigger(event: str) -> str:
    return f"{LOG}_{event.lower()}"
