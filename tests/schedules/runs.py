"""A run of the pipeline in one schedule: a source and a store in memory, whose images say what shall happen to them."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedder.errors import ConfigurationError, ImageError, RejectedError, TransientError
from embedder.options import RunOptions
from embedder.pipeline.recipe import Recipe
from embedder.records import (
    Failure,
    Fingerprint,
    Pixels,
    Preprocessing,
    Reference,
    Sample,
    StoredVector,
    VectorInfo,
    Vectors,
)
from tests.schedules.children import CROP, Children, pixels_of
from tests.schedules.copies import Copies
from tests.schedules.scheduler import pause, wait_for_others

MODULES = [
    "embedder.system.threads",
    "embedder.decoding.processes",
    "embedder.encoders.lanes",
    "embedder.pipeline.ledger",
    "embedder.pipeline.stopping",
    "embedder.pipeline.number_format",
    "embedder.pipeline.rereading",
    "embedder.pipeline.stages",
]
"""What a run is made of, each after those that it imports."""

PREPROCESSING = Preprocessing(resize=CROP, crop=CROP, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))
FINGERPRINT = Fingerprint(model="own", digest="own", preprocessing="pre1", data_type="float32", normalized=False)

ENDS: dict[str, tuple[str, str | None]] = {
    "good": ("embedded", None),
    "large 60": ("embedded", None),
    "stored": ("skipped", None),
    "moved": ("skipped", None),
    "collides": ("failed", "check: Collision"),
    "unlistable": ("failed", "check: Unreadable"),
    "unreadable": ("failed", "fetch: Unreadable"),
    "crash": ("failed", "decode: Crashed"),
    "bad": ("failed", "decode: NotAnImage"),
    "rejected": ("failed", "write: Rejected"),
    "no-answer": ("failed", "fetch: Unavailable"),
    "full": ("failed", "write: StoreUnavailable"),
    "fatal": ("none", None),
}
"""How an image ends in an undisturbed run, by the first words of its name; and of failures the stage and the error."""


def kind_of(image_id: str) -> str:
    return image_id.rsplit(" ", 1)[0]


def uri_of(image_id: str) -> str:
    return f"file:///{image_id}"


@dataclass
class MemorySource:
    """A `Source` of images that exist by their names alone."""

    image_ids: Sequence[str]
    name: str = "memory"
    readers: int = 2
    remote: bool = False
    total: int | None = None
    closed: bool = False
    stored: Callable[[], int] = lambda: 0
    """Returns how many images are stored."""
    read_count: int = 0
    most_open: int = 0
    """The most images that were read and not stored yet."""

    def __post_init__(self) -> None:
        self.ignored: Counter[str] = Counter()

    def references(self) -> Iterator[Reference | Failure]:
        for each in self.image_ids:
            pause()
            if kind_of(each) == "unlistable":
                yield Failure(image_id=each, stage="check", error="Unreadable", message="")
            else:
                yield Reference(image_id=each, uri=uri_of(each), etag=each, size=len(each))

    def read(self, reference: Reference) -> Sample:
        pause()
        self.read_count += 1
        self.most_open = max(self.most_open, self.read_count - self.stored())
        match kind_of(reference.image_id):
            case "unreadable":
                raise ImageError("Unreadable", "")
            case "no-answer":
                raise TransientError("the source does not answer")
        return Sample(reference=reference, data=reference.image_id.encode())

    def close(self) -> None:
        self.closed = True


class MemoryStore:
    """A `Store` that refuses some images."""

    name = "memory"
    group: int | None = 2
    writers = 2
    lookup_group = 2
    max_id_bytes = 100

    def __init__(self, image_ids: Sequence[str]) -> None:
        self.vectors: dict[str, StoredVector] = {}
        for each in image_ids:
            if kind_of(each) in {"stored", "moved", "collides"}:
                elsewhere = kind_of(each) != "stored"
                self.vectors[each] = StoredVector(
                    image_id=each,
                    data_type="float32",
                    dimension=1,
                    created="",
                    fingerprint=str(FINGERPRINT),
                    etag="other" if kind_of(each) == "collides" else each,
                    source=uri_of("elsewhere") if elsewhere else uri_of(each),
                    vector=b"before",
                )

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        pause()
        return {each: self.vectors[each] for each in image_ids if each in self.vectors}

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        pause()
        yield from (self.vectors[each] for each in image_ids)

    def write(self, vectors: Sequence[StoredVector]) -> None:
        pause()
        kinds = {kind_of(each.image_id) for each in vectors}
        if "fatal" in kinds:
            raise ConfigurationError("the table is gone")
        if "full" in kinds:
            raise TransientError("the disk is full")
        if "rejected" in kinds:
            raise RejectedError("too large")
        for each in vectors:
            pause()
            self.vectors[each.image_id] = each

    def made(self) -> set[str]:
        """Return the ids of the vectors that this run has made."""
        return {each for each, vector in self.vectors.items() if vector.vector != b"before"}


class Lane:
    """Computes one batch at a time."""

    def __init__(self) -> None:
        self.busy = False

    def encode(self, pixels: Pixels) -> Vectors:
        assert not self.busy, "a lane was lent to two threads"
        self.busy = True
        pause()
        self.busy = False
        vectors: Vectors = pixels.reshape(len(pixels), -1).astype(np.float32)
        return vectors


class LaneEncoder:
    """An encoder of two lanes. A vector is its picture's pixels."""

    engine = device = arithmetic = "memory"
    dimension = CROP * CROP * 3
    lanes = 2
    batch_size = 2

    def __init__(self, copies: Copies) -> None:
        self.lent = copies["embedder.encoders.lanes"].Lanes([Lane(), Lane()])

    def encode(self, pixels: Pixels) -> Vectors:
        with self.lent.borrow() as lane:
            vectors: Vectors = lane.encode(pixels)
            return vectors


class Run:
    """One run over some images, and its books."""

    def __init__(self, copies: Copies, children: Children, image_ids: Sequence[str]) -> None:
        children.begin(budget=1 << 30)
        self.children = children
        self.image_ids = image_ids
        self.store = MemoryStore(image_ids)
        self.source = MemorySource(image_ids, stored=lambda: len(self.store.made()))
        self.lines = io.StringIO()
        self.ledger = copies["embedder.pipeline.ledger"].Ledger(self.lines)
        self.stop = copies["embedder.pipeline.stopping"].Stop()
        self.written = ""
        stages = copies["embedder.pipeline.stages"]
        self.pipeline = stages.Pipeline(
            self.source,
            self.store,
            recipe=Recipe(
                fingerprint=FINGERPRINT,
                dimension=LaneEncoder.dimension,
                preprocessing=PREPROCESSING,
                open_encoder=lambda: LaneEncoder(copies),
            ),
            skipping=stages.Skipping(store="memory", fingerprint=str(FINGERPRINT), allow_mixed=False),
            options=RunOptions(workers=2, batch_size=2),
            ledger=self.ledger,
            stop=self.stop,
            progress=lambda _: None,
        )

    def run(self) -> None:
        """Run the pipeline as a session does: afterwards the file of failures is closed and the books are read."""
        try:
            self.pipeline.run()
        finally:
            self.written = self.lines.getvalue()
            self.lines.close()
            self.tally = self.ledger.tally()
            self.check_books()
            wait_for_others()
            self.check_rest()

    @property
    def failed(self) -> dict[str, str]:
        """The ids of failed images, with stage and error, from the file of failures."""
        lines = [json.loads(each) for each in self.written.splitlines()]
        found = {each["image_id"]: f"{each['stage']}: {each['error']}" for each in lines}
        assert len(found) == len(lines), "an image failed twice"
        return found

    def check_books(self) -> None:
        """Whatever has happened: what is counted is what was stored and what was reported, and no image is in both."""
        made, failed = self.store.made(), self.failed
        assert self.tally.failed == len(failed)
        assert not made & set(failed)
        assert self.source.closed
        for each in made:
            pixels = np.frombuffer(pixels_of(each.encode()), np.uint8).astype("<f4")
            assert self.store.vectors[each].vector == pixels.tobytes(), "an image has the vector of another one"

    def check_rest(self) -> None:
        """When the last thread has ended, nothing has been added to the books, and nothing is left behind."""
        after: Any = self.ledger.tally()
        assert (after.embedded, after.skipped, after.failed) == (
            self.tally.embedded,
            self.tally.skipped,
            self.tally.failed,
        ), "a thread has counted an image after the end"
        assert not self.children.left()
        assert self.pipeline.decoder.reserve.__self__.held == 0
