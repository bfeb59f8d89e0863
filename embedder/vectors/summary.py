"""Counting what a store holds: `embedder info`."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from embedder.errors import ConfigurationError
from embedder.models import home_of
from embedder.models.catalog import find_model
from embedder.models.weights import RANDOM
from embedder.pipeline.notebook import table
from embedder.records import Fingerprint
from embedder.stores import Store, open_store
from embedder.vectors.reader import incomparable


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
    licenses: Mapping[str, str] = field(default_factory=dict)
    """Model → the licence of its published weights, where vectors were made with some and their library names one."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return the figures as the rows of a table: what, and its value."""
        return [
            ("store", self.store),
            ("vectors", str(self.count)),
            *[("dimension", str(each)) for each in self.dimensions],
            *([("newest", self.newest)] if self.newest else []),
            *[(name or "(no fingerprint)", str(count)) for name, count in self.fingerprints.items()],
            *[(f"licence of {name}", text) for name, text in self.licenses.items()],
        ]

    def _repr_html_(self) -> str:
        rows = {
            "vectors": f"{self.count:,}",
            "dimensions": ", ".join(map(str, self.dimensions)),
            "newest": self.newest or "",
            "store": self.store,
            **{name or "(no fingerprint)": f"{count:,}" for name, count in self.fingerprints.items()},
        }
        return table(rows)


def first_ids(
    store: Store, ids: Sequence[str] | None, count: int, *, prefix: str = "", fingerprint: str | None = None
) -> tuple[list[str], int]:
    """Return the first `count` ids of what `reader.read` would return, and how many those are, without the vectors.

    Raises:
        ConfigurationError: the vectors are of several kinds.
    """
    known = store.describe() if ids is None else store.lookup(list(dict.fromkeys(ids))).values()
    kinds: Counter[str] = Counter()

    def matching() -> Iterator[str]:
        for each in known:
            if each.image_id.startswith(prefix) and fingerprint in (None, each.fingerprint):
                kinds[each.fingerprint] += 1
                yield each.image_id

    if ids is None:
        first = heapq.nsmallest(count, matching())
        found = kinds.total()
    else:
        stored = set(matching())
        asked = [each for each in ids if each in stored]
        first, found = asked[:count], len(asked)
    if len(kinds) > 1:
        raise incomparable(store.name, [f"{kind or 'unknown'} ({each:,})" for kind, each in kinds.most_common()])
    return first, found


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
        licenses=_licenses(fingerprints),
    )


def _licenses(fingerprints: Iterable[str]) -> dict[str, str]:
    """Return the licences of models whose family is installed here. The first family names none."""
    found = {}
    for each in fingerprints:
        with suppress(ValueError, ConfigurationError):
            made = Fingerprint.parse(each)
            if (
                home_of(made.model)[1] != made.model
                and made.digest != RANDOM
                and (text := find_model(made.model).license)
            ):
                found[made.model] = text
    return found
