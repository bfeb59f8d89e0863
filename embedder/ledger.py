"""The books of a run: every image ends as exactly one of embedded, skipped or failed."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO

from embedder.errors import ConfigurationError
from embedder.records import Failure, Stage


class Ledger:
    """Counts what the stages, on their threads, say of their images.

    Args:
        failures: a file for one JSON line a failure; it appears under its name when the books are closed.
    """

    def __init__(self, failures: Path | None = None) -> None:
        self.lock = threading.Lock()
        self.began = time.monotonic()
        self.embedded = 0
        self.skipped = 0
        self.failed = 0
        self.transient = 0
        """How many of the failed may succeed in another run."""
        self.pruned = 0
        self.causes: Counter[tuple[Stage, str]] = Counter()
        self.first_failures: list[Failure] = []
        """The first few, for the summary; the file has them all."""
        self.seconds: defaultdict[Stage, float] = defaultdict(float)
        self.path = failures
        self.file = _open_beside(failures) if failures is not None else None

    @property
    def images(self) -> int:
        return self.embedded + self.skipped + self.failed

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    def embed(self, count: int) -> None:
        """So many images have their vectors in the store."""
        with self.lock:
            self.embedded += count

    def skip(self, count: int) -> None:
        """So many images had the right vector already."""
        with self.lock:
            self.skipped += count

    def fail(self, failure: Failure) -> None:
        """An image has no vector."""
        with self.lock:
            self.failed += 1
            self.transient += failure.transient
            self.causes[failure.stage, failure.error] += 1
            if len(self.first_failures) < 10:
                self.first_failures.append(failure)
            if self.file is not None:
                self.file.write(failure_line(failure))

    @contextmanager
    def timed(self, stage: Stage) -> Iterator[None]:
        """Add the time spent inside to a stage's seconds, summed over its threads."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            with self.lock:
                self.seconds[stage] += spent

    def close(self) -> None:
        """Put the failures file in its place."""
        if self.file is not None and self.path is not None:
            self.file.close()
            os.replace(self.file.name, self.path)
            self.file = None


def failure_line(failure: Failure) -> str:
    """A failure as one line of JSON, whatever characters its id has."""
    fields = asdict(failure)
    del fields["transient"]
    return json.dumps(fields) + "\n"


def _open_beside(path: Path) -> IO[str]:
    try:
        return open(f"{path}.part", "w", encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"--failures {path} cannot be written: {error.strerror}; name a file in a folder that exists"
        ) from None
