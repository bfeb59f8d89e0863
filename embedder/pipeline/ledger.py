"""The books of a run: every image ends as exactly one of embedded, skipped or failed."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, Any, Protocol

from embedder.errors import ImageError, TransientError
from embedder.records import Failure, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of one moment; they belong together."""

    embedded: int
    skipped: int
    failed: int
    causes: Mapping[tuple[Stage, str], int]
    """Failures by stage and error, the most frequent first."""
    seconds: Mapping[Stage, float]
    """By stage, summed over its threads."""

    @property
    def images(self) -> int:
        return self.embedded + self.skipped + self.failed


DAMAGED = "Damaged"
"""The notice of an image that has lost a part of its data, and of which the rest is embedded."""


class Named(Protocol):
    """What a failure says of an image: a reference, or a stored vector."""

    @property
    def image_id(self) -> str: ...

    @property
    def etag(self) -> str | None: ...


class Ledger:
    """Counts how every image ends. The stages call it from their threads.

    Args:
        sinks: each receives one JSON line for every failure.
        notice_sinks: each receives one JSON line for every notice.
    """

    def __init__(self, *sinks: IO[str], notice_sinks: Sequence[IO[str]] = ()) -> None:
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.embedded = 0
        self.skipped = 0
        self.moved = 0
        """How many of the skipped lay elsewhere when they were embedded."""
        self.failed = 0
        self.notices: Counter[str] = Counter()
        self.transient = 0
        """How many of the failed may succeed in another run."""
        self.pruned = 0
        self.causes: Counter[tuple[Stage, str]] = Counter()
        self.first_failures: list[Failure] = []
        """The first few, for the summary; the file has them all."""
        self.seconds: defaultdict[Stage, float] = defaultdict(float)
        self.sinks = sinks
        self.notice_sinks = notice_sinks

    @property
    def images(self) -> int:
        return self.embedded + self.skipped + self.failed

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def embed(self, count: int) -> None:
        """Count images whose vectors are in the store now."""
        with self.lock:
            self.embedded += count

    def skip(self, *, moved: bool = False) -> None:
        """Count an image that had the right vector already.

        Args:
            moved: whether the image lay elsewhere when it was embedded.
        """
        with self.lock:
            self.skipped += 1
            self.moved += moved

    def notice(self, image: Named, notices: Iterable[str]) -> None:
        """Count what was wrong with a file that is embedded all the same, and write it down.

        Raises:
            TransientError: the notice cannot be written, as on a full disk.
        """
        for notice in notices:
            with self.lock:
                self.notices[notice] += 1
                _write(self.notice_sinks, {"image_id": image.image_id, "notice": notice, "etag": image.etag})

    def fail(self, failure: Failure) -> None:
        """Count an image as failed, and write the failure down.

        Raises:
            TransientError: the disk of the file of failures is full.
            ConfigurationError: that file cannot be written for another reason.
        """
        with self.lock:
            self.failed += 1
            self.transient += failure.transient
            self.causes[failure.stage, failure.error] += 1
            if len(self.first_failures) < 10:
                self.first_failures.append(failure)
            _write(self.sinks, _fields(failure))

    def fail_image(self, image: Named, stage: Stage, error: ImageError) -> None:
        """Count an image as failed, for the reason that the error gives."""
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
        """Return the counts of this moment; threads may go on counting."""
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
    """Write one JSON object as one line, whatever characters the id has."""
    for sink in sinks:
        try:
            sink.write(json.dumps(fields) + "\n")
        except OSError as error:
            raise TransientError(f"what became of the images cannot be written: {error.strerror}; run again") from error
