"""Counting what a store holds: `embedder info`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedder.pipeline.notebook import table
from embedder.stores import open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A store's contents, without the vectors."""

    store: str
    count: int
    dimensions: tuple[int, ...]
    fingerprints: Mapping[str, int]
    """How many vectors each fingerprint has."""
    newest: str | None
    """When the newest vector was made, ISO 8601, UTC."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def summary(self) -> str:
        """Return the figures as a few lines for a person."""
        lines = [f"{self.count:,} vectors in {self.store}"]
        if self.count:
            lines.append(f"dimensions: {', '.join(map(str, self.dimensions))}; newest: {self.newest}")
            lines += [f"{count:12,}  {name or '(no fingerprint)'}" for name, count in self.fingerprints.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = {
            "vectors": f"{self.count:,}",
            "dimensions": ", ".join(map(str, self.dimensions)),
            "newest": self.newest or "",
            "store": self.store,
            **{name or "(no fingerprint)": f"{count:,}" for name, count in self.fingerprints.items()},
        }
        return table(rows)


def info(store: str | Path) -> Contents:
    """Count what a store holds. A DynamoDB table is scanned for it.

    Args:
        store: the store's name: `dynamodb://table`, or the path of a SQLite file.

    Returns:
        The contents: `count`, `dimensions`, `fingerprints`, `newest`. A notebook shows them as a table.

    Raises:
        ConfigurationError: there is no such store.
        TransientError: the store does not answer.
    """
    fingerprints: Counter[str] = Counter()
    dimensions: set[int] = set()
    newest = ""
    with closing(open_store(str(store), must_exist=True)) as opened:
        for stored in opened.describe():
            fingerprints[stored.fingerprint] += 1
            dimensions.add(stored.dimension)
            newest = max(newest, stored.created)
    return Contents(
        store=str(store),
        count=fingerprints.total(),
        dimensions=tuple(sorted(dimensions)),
        fingerprints=dict(fingerprints.most_common()),
        newest=newest or None,
    )
