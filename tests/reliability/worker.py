"""`embedder …` with a model that costs nothing and writes down what it did, for tests that kill, starve and cut it off.

Variables: `WORKER_LOG`, a file that gets a line `encode N` a batch and a line `fetch` for every object from another
process; `WORKER_LOAD`, seconds that the model takes to load; `WORKER_PACE`, seconds that an image takes;
`WORKER_PATIENCE`, seconds after which AWS is given up, and `WORKER_SOURCE_PATIENCE`, the same for S3 alone;
`WORKER_FETCHERS`, how many processes read from S3.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from typing import Any

import numpy as np

from embedder import cli
from embedder.records import Pixels, Vectors
from embedder.sources import bucket
from embedder.sources.fetchers import Fetchers
from embedder.system import aws
from tests.embedder.stand_in import PixelEncoder, replace_engines


def log(line: str) -> None:
    """Append a line in one piece, so that a killed process leaves whole lines."""
    if name := os.environ.get("WORKER_LOG"):
        descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(descriptor, f"{line}\n".encode())
        os.close(descriptor)


class Encoder(PixelEncoder):
    """The same bytes for a picture whatever the batch it comes in."""

    def encode(self, pixels: Pixels) -> Vectors:
        time.sleep(float(os.environ.get("WORKER_PACE", "0")) * len(pixels))
        vectors: Vectors = np.concatenate([super(Encoder, self).encode(each[None]) for each in pixels])
        log(f"encode {len(pixels)}")
        return vectors


def open_encoder(*_: Any) -> Encoder:
    log("load")
    time.sleep(float(os.environ.get("WORKER_LOAD", "0")))
    return Encoder()


class Patience(aws.Patience):
    def __init__(self, stopping: Any, seconds: float = float(os.environ.get("WORKER_PATIENCE", "90"))) -> None:
        super().__init__(stopping, seconds)


class CountedFetchers(Fetchers):
    def get(self, bucket: str, key: str) -> tuple[bytes, str] | None:
        found = super().get(bucket, key)
        if found:
            log("fetch")
        return found


class S3Reader(bucket.S3Reader):
    def __init__(self, stopping: Any) -> None:
        super().__init__(stopping)
        seconds = float(os.environ.get("WORKER_SOURCE_PATIENCE", self.patience.seconds))
        self.patience = Patience(stopping, seconds)
        processes = int(os.environ.get("WORKER_FETCHERS", "0"))
        self.fetchers = CountedFetchers(processes, bucket.READERS, stopping=stopping, patience=seconds)
        self.fetchers.start()
        self.asked = itertools.count(bucket.FETCHERS_FROM + 1)  # they are started already


if __name__ == "__main__":
    replace_engines(open_encoder)
    aws.Patience = Patience  # type: ignore[misc]
    bucket.S3Reader = S3Reader  # type: ignore[misc]
    sys.exit(cli.main())
