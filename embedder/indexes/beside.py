"""The index of a SQLite file: a file beside it, `vectors.db.index`, which is made by faiss and mapped, not read.

faiss divides the vectors into cells and keeps one byte a number. The file ends with what faiss does not keep: the ids,
the cells nearest to each vector, and a description of the index.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from embedder.errors import ConfigurationError
from embedder.indexes import IndexReport, SearchIndex, UnusableIndexError
from embedder.records import Vectors
from embedder.stores.sqlite import SQLiteStore
from embedder.system.files import temporary_file, writing
from embedder.system.steps import step
from embedder.vectors.reader import batches
from embedder.vectors.search import unit

SUFFIX = ".index"
MAGIC = b"embedder-index-1"
MOST_CHANGES = 20_000
"""Vectors that may have changed: a search reads them all. With more, the index is too old."""
AMONG_PREFIX = 5000
"""Vectors proposed where only a prefix counts."""
CHUNK = 8192


class FileBeside:
    """Makes and opens the index of a SQLite file; see `Kind`."""

    def __init__(self, store: SQLiteStore) -> None:
        self.store = store
        self.path = Path(f"{store.name}{SUFFIX}")

    def price(self, fingerprint: str | None) -> str | None:  # noqa: ARG002 - a file costs nothing
        return None

    def make(self, fingerprint: str | None) -> IndexReport:
        _faiss()
        from embedder.indexes.cells import Cells  # imports faiss

        began = time.monotonic()
        total = sum(1 for _ in self.store.describe()) if fingerprint is not None else None
        if self.store.sample() is None:
            raise ConfigurationError(f"there is no vector in {self.store.name} to index")
        token = secrets.token_hex(16)
        with writing(self.path, "the index") as part, temporary_file("the index") as file:
            self.store.begin_index(token)
            ids, rows = _spilled(self.store, fingerprint, file)
            if not ids:
                raise ConfigurationError(f"no vector in {self.store.name} was made by {fingerprint}")
            cells = Cells(rows)
            facts = {
                "token": token,
                "fingerprint": fingerprint or next(iter(self.store.get(ids[:1]))).fingerprint,
                "whole": total in (None, len(ids)),
                "vectors": len(ids),
                "dimension": rows.shape[1],
                **cells.measured(),
            }
            _write(part, cells.index, ids, cells.nearest, facts)
        self.store.keep_index(token)
        return IndexReport(
            store=self.store.name,
            index=str(self.path),
            fingerprint=facts["fingerprint"],
            vectors=len(ids),
            dimension=facts["dimension"],
            seconds=round(time.monotonic() - began, 1),
            figures={"bytes": self.path.stat().st_size, "recall_at_10": facts["recall"], "probes": facts["probes"]},
        )

    def open(self, fingerprint: str | None) -> SearchIndex | None:
        if not self.path.exists():
            return None
        index = FileIndex(self.path)
        fits = index.facts["whole"] if fingerprint is None else index.covers == fingerprint
        if not fits:
            raise UnusableIndexError(
                f"{self.path} covers the vectors of {index.covers} alone, which --fingerprint names", helps=False
            )
        changed = self.store.changed_since(index.facts["token"], MOST_CHANGES + 1)
        if changed is None:
            raise UnusableIndexError(f"{self.path} is of another state of {self.store.name}")
        if len(changed) > MOST_CHANGES:
            raise UnusableIndexError(
                f"{self.path} is older than {MOST_CHANGES:,} and more of the vectors in {self.store.name}"
            )
        index.changed = changed
        return index


class FileIndex:
    """An open index; see `CellIndex`.

    Raises:
        UnusableIndexError: it is damaged, or faiss is not installed.
    """

    changed: Sequence[str] = ()
    """Ids that were written or deleted after the index was begun. Each search looks at all of them."""

    def __init__(self, path: Path) -> None:
        faiss = _faiss()
        self.path = path
        try:
            self.facts = _facts(path)
            self.covers = str(self.facts["fingerprint"])
            faiss.omp_set_num_threads(1)  # waking threads takes longer than one search
            self.index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UnusableIndexError(f"{path} is damaged or of another version ({reason})") from None
        self.index.nprobe = self.facts["probes"]
        count = self.facts["vectors"]
        # Memory views: an array of numpy takes several times as long for one number, or one text.
        self.ends = memoryview(np.memmap(path, np.uint64, "r", self.facts["ends_at"], (count + 1,)))
        self.texts = memoryview(np.memmap(path, np.uint8, "r", self.facts["ids_at"], (max(1, self.ends[-1]),)))

    def candidates(self, direction: Vectors, k: int, prefix: str = "") -> Sequence[str]:
        count = self.facts["vectors"]
        wanted = max(3 * k + 20, AMONG_PREFIX if prefix else 0)
        if len(direction) != self.facts["dimension"] or 4 * k > count:
            return ()
        _, places = self.index.search(direction[None], min(wanted, count))
        found = [self._id(place) for place in places[0].tolist() if place >= 0]
        return [each for each in dict.fromkeys([*found, *self.changed]) if each.startswith(prefix)]

    def cells(self, ids: Sequence[str], rows: Vectors) -> np.ndarray:
        width = self.facts["cells"]
        count = self.facts["vectors"]
        stored = np.memmap(self.path, np.int32, "r", self.facts["cells_at"], (count, width))
        changed = set(self.changed)
        places = {name: place for place, name in enumerate(map(self._id, range(count)))}
        known = np.array([-1 if each in changed else places.get(each, -1) for each in ids])
        del places
        made: np.ndarray = np.array(stored[np.maximum(known, 0)])
        new = np.flatnonzero(known < 0)
        for start in range(0, len(new), CHUNK):
            part = new[start : start + CHUNK]
            made[part] = self.index.quantizer.search(unit(rows[part]), width)[1]
        return made

    def pair_recall(self, threshold: float) -> float | None:
        measured = self.facts["pair_recall"]
        fitting = [float(each) for each in measured if float(each) <= threshold + 1e-9]
        recall: float | None = measured[str(max(fitting))] if fitting else None
        return recall

    def describe(self) -> str:
        return f"the index {self.path}"

    def close(self) -> None:
        del self.index, self.texts, self.ends

    def _id(self, place: int) -> str:
        return self.texts[self.ends[place] : self.ends[place + 1]].tobytes().decode("utf-8", "surrogatepass")


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise UnusableIndexError(
            "an index needs the library faiss, which pip install 'embedder[index]' brings", helps=False
        ) from None
    return faiss


def _spilled(store: SQLiteStore, fingerprint: str | None, file: IO[bytes]) -> tuple[list[str], Vectors]:
    """Read all vectors into a file, scaled to length one; return their ids and the mapped rows, (n, dimension)."""
    ids: list[str] = []
    dimension = 0
    with step("reading vectors", unit="vectors") as advance:
        for names, vectors in batches(store, fingerprint=fingerprint):
            dimension = vectors.shape[1]
            ids += names
            file.write(unit(vectors).tobytes())
            advance(len(names))
    file.flush()
    shape = (len(ids), dimension)
    return ids, np.memmap(file, np.float32, "r", shape=shape) if ids else np.empty(shape, np.float32)


def _write(path: Path, index: Any, ids: Sequence[str], cells: np.ndarray, facts: dict[str, Any]) -> None:
    """Write faiss's index and then the rest; the last bytes say where the description begins."""
    texts = [each.encode("utf-8", "surrogatepass") for each in ids]
    _faiss().write_index(index, str(path))
    head = max(0, path.stat().st_size - len(ids) * (index.code_size + 8))  # all but the lists, which are last
    with path.open("rb") as file:
        facts = {**facts, "head": head, "check": zlib.crc32(file.read(head)), "cells": cells.shape[1]}
    with path.open("ab") as file:
        file.write(bytes(-file.tell() % 8))
        facts["ends_at"] = file.tell()
        file.write(np.cumsum([0, *map(len, texts)]).astype(np.uint64).tobytes())
        facts["cells_at"] = file.tell()
        file.write(cells.astype(np.int32).tobytes())
        facts["ids_at"] = file.tell()
        file.write(b"".join(texts) or b" ")
        start = file.tell()
        description = json.dumps(facts).encode()
        file.write(description)
        file.write(np.array([start, zlib.crc32(description)], np.uint64).tobytes() + MAGIC)


def _facts(path: Path) -> dict[str, Any]:
    """Return the description of an index whose structure is whole.

    Raises:
        ValueError: it is not: mapped, a damaged file would end the process.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 32))
        last = file.read()
        if last[16:] != MAGIC:
            raise ValueError("its end is missing")
        start, check = map(int, np.frombuffer(last[:16], np.uint64))
        file.seek(min(start, size))
        description = file.read()[:-32]
        if zlib.crc32(description) != check:
            raise ValueError("its description is damaged")
        facts: dict[str, Any] = json.loads(description)
        file.seek(0)
        if zlib.crc32(file.read(facts["head"])) != facts["check"]:
            raise ValueError("its beginning is damaged")
    return facts
