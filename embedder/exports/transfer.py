"""Filling a collection from a store, so that a transfer that was cut short goes on when it is repeated."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from importlib import import_module
from typing import Any

import numpy as np

from embedder.errors import ConfigurationError
from embedder.exports import Collection, Exported, Mark, Opener, Wanted
from embedder.records import INFO_ATTRIBUTES, KEY, Attribute, VectorInfo
from embedder.stores import Store, open_store
from embedder.system.doors import behind
from embedder.system.steps import step
from embedder.system.threads import grouped
from embedder.terminal.screen import counted
from embedder.vectors.reader import incomparable, numbers

CARRIED: tuple[Attribute, ...] = tuple(
    each for each in INFO_ATTRIBUTES if each.name not in (KEY, "DataType", "Dimension", "Modified", "Scale")
)
"""What a collection keeps beside a vector."""

MARK = ("Source", "Fingerprint", "Created")
"""The attributes of a mark."""


class CollectionTarget:
    """A collection to be filled; see `Target`."""

    def __init__(self, opener: str | Opener, address: str) -> None:
        self.collection = behind(opener)(address)

    def __call__(self, wanted: Wanted) -> Exported:
        """Put the vectors that the collection lacks, or has as they were before, in bounded memory.

        Raises:
            ConfigurationError: there is no such store or collection, or they do not fit.
            TransientError: one of them does not answer, or a disk is full; another call goes on from there.
        """
        with closing(self.collection) as collection, closing(open_store(wanted.store, must_exist=True)) as store:
            transfer = Transfer(store, collection)
            with step(f"writing to {collection.name}", unit="vectors") as advance:
                for count in transfer.run(wanted):
                    advance(count)
        return Exported(
            summary=f"{counted(transfer.written, 'vector')} put, {transfer.kept:,} there already, in {collection.name}",
            found=transfer.found,
            refused=transfer.refused,
        )


class Transfer:
    """One transfer, and what it has done so far."""

    def __init__(self, store: Store, collection: Collection) -> None:
        self.store = store
        self.collection = collection
        self.written = 0
        self.kept = 0
        """Vectors that the collection had already."""
        self.refused: list[str] = []
        self.found: list[str] = []
        """All ids found of those asked for; the first one if all are wanted."""

    def run(self, wanted: Wanted) -> Iterator[int]:
        """Transfer the vectors, and yield how many were looked at each time."""
        vectors = self._wanted(wanted)
        first = next(vectors, None)
        if first is None:
            return
        group = self.collection.fit(first)
        for infos in grouped(self._acceptable(first, vectors), group):
            there = self.collection.marks([each.image_id for each in infos])
            missing = [each.image_id for each in infos if there.get(each.image_id) != mark(each)]
            if missing:
                self._put(missing)
            self.kept += len(infos) - len(missing)
            yield len(infos)

    def _put(self, ids: Sequence[str]) -> None:
        vectors = list(self.store.get(ids))
        if vectors:  # none, if they were deleted meanwhile
            rows = [numbers(each, self.store.name).astype(np.float32, copy=False) for each in vectors]
            self.collection.put(vectors, np.stack(rows))
        self.written += len(vectors)

    def _wanted(self, wanted: Wanted) -> Iterator[VectorInfo]:
        """Yield the vectors of one fingerprint, without their numbers.

        Raises:
            ConfigurationError: there are several fingerprints, and none was asked for.
        """
        if wanted.ids is None:
            infos: Iterable[VectorInfo] = self.store.describe()
        else:
            infos = self.store.lookup(list(dict.fromkeys(wanted.ids))).values()
        kind = wanted.fingerprint
        for each in infos:
            if not each.image_id.startswith(wanted.prefix):
                continue
            kind = each.fingerprint if kind is None else kind
            if each.fingerprint == kind:
                if wanted.ids is not None or not self.found:
                    self.found.append(each.image_id)
                yield each
            elif wanted.fingerprint is None:
                raise incomparable(self.store.name, [kind or "unknown", each.fingerprint or "unknown"])

    def _acceptable(self, first: VectorInfo, others: Iterable[VectorInfo]) -> Iterator[VectorInfo]:
        """Yield the vectors that the collection can take, and note the others."""
        for each in itertools.chain([first], others):
            if each.dimension != first.dimension:
                raise ConfigurationError(
                    f"{self.store.name} holds vectors of {first.dimension} and of {each.dimension} numbers: something "
                    "else has written to it"
                )
            reason = self.collection.refusal(each.image_id)
            if reason is None:
                yield each
            else:
                self.refused.append(f"{each.image_id!r} {reason}")


def mark(vector: VectorInfo) -> Mark:
    """Return what tells a vector from an earlier one of the same image."""
    return vector.source, vector.fingerprint, vector.created


def mark_of(kept: Mapping[str, Any]) -> Mark:
    """Return the mark of what a collection keeps beside a vector, by the names of attributes."""
    source, fingerprint, created = (str(kept.get(each)) for each in MARK)
    return source, fingerprint, created


def carried(vector: VectorInfo) -> dict[str, Any]:
    """Return what a collection keeps beside a vector, by the names of attributes, without what the vector lacks."""
    values = ((each.name, getattr(vector, each.field)) for each in CARRIED)
    return {name: value for name, value in values if value is not None}


def column(attribute: str) -> str:
    """Return an attribute's name as SQL writes it: `ImageId` → `image_id`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", attribute).lower()


def needed(module: str, extra: str, name: str) -> Any:
    """Import a module of an extra.

    Args:
        name: the address that needs it.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        raise ConfigurationError(f"--out {name} needs {package}: pip install '.[{extra}]'") from None


def wrong_dimension(name: str, dimension: int | None, vector: VectorInfo) -> ConfigurationError:
    """Return the error for a collection of vectors of another dimension."""
    return ConfigurationError(
        f"{name} is for vectors of dimension {dimension}, these have {vector.dimension}; name another one for them"
    )


def refuse_other_distance(name: str, distance: str, vector: VectorInfo) -> None:
    """Find out whether a collection that compares by another distance than cosine suits a vector.

    Raises:
        ConfigurationError: it does not: the vector is not normalised.
    """
    if distance.lower() != "cosine" and not vector.fingerprint.endswith("/normalized"):
        raise ConfigurationError(
            f"{name} compares by {distance.lower()} distance, and these vectors have to be compared by cosine; name "
            "one that compares by cosine, or make vectors with --normalize"
        )
