"""Remember the images of a table, however many they are."""

from __future__ import annotations

import hashlib
import sqlite3
from types import TracebackType
from typing import Literal, Self


# embedder.sources.naming has the same class, since neither program imports the other, and since what both share, in
# submitter.manifest, is the format of a run and not the memory of a listing.
class Seen:
    """The ids and addresses of images: in a temporary file of SQLite where they are many, so that memory is bounded."""

    def __init__(self) -> None:
        # Generators may be closed by another thread than the one that reads them.
        self.rows = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self.rows.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, uri BLOB) WITHOUT ROWID")
        self.rows.execute("BEGIN")

    def before(self, image_id: str, uri: str) -> Literal["nothing", "same", "other"]:
        """Note an image, and say what was noted under its id before: nothing, the same address, or another one."""
        key, address = (hashlib.blake2b(each.encode(), digest_size=16).digest() for each in (image_id, uri))
        if self.rows.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, address)).rowcount:
            return "nothing"
        (found,) = self.rows.execute("SELECT uri FROM seen WHERE id = ?", (key,)).fetchone()
        return "same" if found == address else "other"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.rows.close()
