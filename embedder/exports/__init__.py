"""Where vectors go from a store: `embedder read STORE --out ADDRESS`.

A file is written whole, by the function that `WRITERS` names for its suffix. A collection, which is a table, an index
or whatever its service calls it, is filled by `transfer` through the protocol `Collection`. To add one, write a file
beside these and give it a line in a table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from embedder.errors import ConfigurationError
from embedder.records import StoredVector, VectorInfo, Vectors
from embedder.system.doors import scheme_of
from embedder.vectors.reader import Spilled

Mark: TypeAlias = tuple[str, str, str]
"""The `Source`, `Fingerprint` and `Created` of a vector, which tell it from an earlier one of the same image."""

Writer: TypeAlias = Callable[[Path, Spilled], None]
"""Writes vectors to a file that does not exist yet."""

WRITERS: dict[str, str | Writer] = {
    ".npz": "embedder.exports.npz:write_npz",
    ".npy": "embedder.exports.npz:write_npy",
    ".parquet": "embedder.exports.arrow:write_parquet",
    ".arrow": "embedder.exports.arrow:write_arrow",
    ".feather": "embedder.exports.arrow:write_arrow",
    ".csv": "embedder.exports.csv:write_csv",
}
"""The function that writes each kind of file, by its suffix."""


class Collection(Protocol):
    """A place for vectors outside our stores, by image id.

    Every method raises ConfigurationError, or TransientError if a later attempt may succeed.
    """

    name: str
    """Its address, without a password."""

    def fit(self, first: VectorInfo) -> int:
        """Make the collection for vectors such as `first` if it does not exist, and return how many one `put` takes.

        Raises:
            ConfigurationError: it exists, and is not for such vectors.
        """

    def refusal(self, image_id: str) -> str | None:
        """Return why an id cannot be stored here; None if it can."""

    def marks(self, image_ids: Sequence[str]) -> Mapping[str, Mark]:
        """Return the marks of those ids that are here."""

    def put(self, vectors: Sequence[StoredVector], numbers: Vectors) -> None:
        """Store vectors, each in place of the one that has the same id.

        Args:
            numbers: the vectors as float32, (n, dimension).
        """

    def close(self) -> None:
        """Close files and connections."""


Opener: TypeAlias = Callable[[str], Collection]
"""Opens a collection by its address, without making it."""

COLLECTIONS: dict[str, str | Opener] = {
    "lancedb": "embedder.exports.lancedb:LanceTable",
    "qdrant": "embedder.exports.qdrant:QdrantCollection",
    "qdrant+http": "embedder.exports.qdrant:QdrantCollection",
    "qdrant+https": "embedder.exports.qdrant:QdrantCollection",
    "postgresql": "embedder.exports.pgvector:PostgresTable",
    "postgres": "embedder.exports.pgvector:PostgresTable",
    "s3vectors": "embedder.exports.s3_vectors:Index",
}
"""The opener of each kind of collection, by the scheme of its address."""

FORMS = (
    f"a file that ends with {', '.join(WRITERS)} or .lance, qdrant://FOLDER/COLLECTION, "
    "qdrant+http://HOST:PORT/COLLECTION, postgresql://USER@HOST/DATABASE#TABLE or s3vectors://BUCKET/INDEX"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which vectors of a store are exported."""

    store: str
    """The store's name."""
    ids: Sequence[str] | None = None
    """Only these images; None for all of them."""
    prefix: str = ""
    """Only ids that start with this."""
    fingerprint: str | None = None
    """Only vectors made by this model and weights; needed if the store holds several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What an export did."""

    summary: str
    """One line for a person."""
    found: Sequence[str]
    """The ids that the store has, of those asked for; at least one of them if all were wanted and there are any."""
    refused: Sequence[str] = ()
    """A sentence for each vector that the target cannot take."""
    path: Path | None = None
    """The file that was written, if the target is one."""


class Target(Protocol):
    """An address whose form is right and for which everything is installed."""

    def __call__(self, wanted: Wanted) -> Exported:
        """Write the vectors."""


def open_target(address: str) -> Target:
    """Find out, before anything is read, whether vectors can be written to an address, as far as this is free.

    Raises:
        ConfigurationError: the address has no known form, its folder does not exist, or an extra is not installed.
    """
    from embedder.exports.files import FileTarget
    from embedder.exports.transfer import CollectionTarget

    scheme = scheme_of(address)
    if address.endswith(".lance") and not scheme:
        scheme = "lancedb"
    if scheme in COLLECTIONS:
        return CollectionTarget(COLLECTIONS[scheme], address)
    path = Path(address)
    if scheme or path.suffix not in WRITERS:
        raise ConfigurationError(f"--out {without_password(address)}: expected {FORMS}")
    return FileTarget(WRITERS[path.suffix], path)


def without_password(address: str) -> str:
    """Return an address as it may be shown: without what follows a user's name, and without `password=…`."""
    shown = re.sub(r"(://[^:/?#@]*):.*@", r"\1@", address, flags=re.DOTALL)
    return re.sub(r"([?&][a-z]*password=)[^&#]*", r"\1…", shown)
