"""`embedder …` with a model that costs nothing and logs what it did, for tests that kill, starve and cut it off.

Variables: `WORKER_LOG`, a file that gets a line `encode N` a batch; `WORKER_LOAD`, seconds that the model takes to
load; `WORKER_PACE`, seconds that an image takes; `WORKER_PATIENCE`, seconds after which AWS is given up, and
`WORKER_SOURCE_PATIENCE`, the same for S3 alone.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from embedder import cli
from embedder.records import Pixels, Vectors
from embedder.sources import reader
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


class S3Reader(reader.S3Reader):
    def __init__(self, stopping: Any) -> None:
        super().__init__(stopping)
        self.patience = Patience(stopping, float(os.environ.get("WORKER_SOURCE_PATIENCE", self.patience.seconds)))


if __name__ == "__main__":
    replace_engines(open_encoder)
    aws.Patience = Patience  # type: ignore[misc]
    reader.S3Reader = S3Reader  # type: ignore[misc]
    sys.exit(cli.main())
