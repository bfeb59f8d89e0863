"""The ledger of a run: it counts every image as exactly one of embedded, skipped or failed."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, Any, Protocol, TypeAlias

from embedder.errors import ImageError, TransientError
from embedder.records import Failure, Stage, VectorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of a run at one moment."""

    embedded: int
    skipped: int
    failed: int
    causes: Mapping[tuple[Stage, str], int]
    """Failures by stage and error, the most frequent first."""
    seconds: Mapping[Stage, float]
    """Seconds by stage, summed over the stage's threads."""

    @property
    def images(self) -> int:
        return self.embedded + self.skipped + self.failed


DAMAGED = "Damaged"
"""The notice for an image that has lost part of its data, of which the rest is embedded."""


class Named(Protocol):
    """The part of a reference or stored vector that failures and notices report."""

    @property
    def image_id(self) -> str: ...

    @property
    def etag(self) -> str | None: ...


Book: TypeAlias = Callable[[VectorInfo | Failure], None]
"""Is called with every image once its end is known: its stored vector, or its failure."""


class Ledger:
    """Counts how every image ends. The stages call it from their threads.

    Args:
        sinks: each receives one JSON line for every failure.
        notice_sinks: each receives one JSON line for every notice.
        book: called by one thread at a time.
    """

    def __init__(self, *sinks: IO[str], notice_sinks: Sequence[IO[str]] = (), book: Book | None = None) -> None:
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.total: int | None = None
        """How many images the source has, once that is known."""
        self.expected: Callable[[], tuple[int, bool] | None] = lambda: None
        """Returns how many it seems to have, and whether that is all, where its listing tells."""
        self.embedded = 0
        self.skipped = 0
        self.moved = 0
        """Skipped images that were in another place when they were embedded."""
        self.failed = 0
        self.notices: Counter[str] = Counter()
        self.transient = 0
        """Failed images that may succeed in another run."""
        self.pruned = 0
        self.causes: Counter[tuple[Stage, str]] = Counter()
        self.first_failures: list[Failure] = []
        """The first ten, for the summary. The file of failures has all."""
        self.seconds: defaultdict[Stage, float] = defaultdict(float)
        self.sinks = sinks
        self.notice_sinks = notice_sinks
        self.book = book or (lambda _: None)
        self.closed = False

    def close(self) -> None:
        """Count nothing more. A thread that a stop has left behind may yet fail or skip an image: the next run's."""
        with self.lock:
            self.closed = True

    @property
    def images(self) -> int:
        return self.embedded + self.skipped + self.failed

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def embed(self, vectors: Sequence[VectorInfo]) -> None:
        """Count images whose vectors are now in the store."""
        with self.lock:
            self.embedded += len(vectors)
            for vector in vectors:
                self.book(vector)

    def skip(self, stored: VectorInfo, *, moved: bool = False) -> None:
        """Count an image that had the right vector already.

        Args:
            stored: the vector.
            moved: whether the image was in another place when it was embedded.
        """
        with self.lock:
            if self.closed:
                return
            self.skipped += 1
            self.moved += moved
            self.book(stored)

    def notice(self, image: Named, notices: Iterable[str]) -> None:
        """Count the damage of an image that is embedded all the same, and write a line for each notice.

        Raises:
            TransientError: the notice cannot be written, for example because the disk is full.
        """
        for notice in notices:
            with self.lock:
                if self.closed:
                    return
                self.notices[notice] += 1
                _write(self.notice_sinks, {"image_id": image.image_id, "notice": notice, "etag": image.etag})

    def fail(self, failure: Failure) -> None:
        """Count an image as failed, and write a line for the failure.

        Raises:
            TransientError: the failure cannot be written, for example because the disk is full.
        """
        with self.lock:
            if self.closed:
                return
            self.failed += 1
            self.transient += failure.transient
            self.causes[failure.stage, failure.error] += 1
            if len(self.first_failures) < 10:
                self.first_failures.append(failure)
            self.book(failure)
            _write(self.sinks, _fields(failure))

    def fail_image(self, image: Named, stage: Stage, error: ImageError) -> None:
        """Count an image as failed because of an error."""
        self.fail(
            Failure(
                image_id=image.image_id,
                stage=stage,
                error=error.error,
                message=error.message,
                etag=image.etag,
                transient=error.transient,
            )
        )

    def tally(self) -> Tally:
        """Return the counts of this moment. Threads may continue counting."""
        with self.lock:
            return Tally(
                embedded=self.embedded,
                skipped=self.skipped,
                failed=self.failed,
                causes=dict(self.causes.most_common()),
                seconds=dict(self.seconds),
            )

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the time spent in this block to a stage's seconds."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            with self.lock:
                self.seconds[stage] += spent


def _fields(failure: Failure) -> dict[str, Any]:
    fields = asdict(failure)
    del fields["transient"]
    return fields


def _write(sinks: Iterable[IO[str]], fields: Mapping[str, Any]) -> None:
    """Write one JSON object as one line, whatever characters the image's id has."""
    for sink in sinks:
        try:
            sink.write(json.dumps(fields) + "\n")
        except OSError as error:
            raise TransientError(
                f"the failures or notices cannot be written: {error.strerror}; fix this and run again"
            ) from error
