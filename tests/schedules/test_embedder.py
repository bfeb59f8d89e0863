"""`Embedder`, which calls share, in every order: each call gets its own rows, and a close at any moment ends all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from embedder.errors import ConfigurationError
from embedder.records import Pixels, Preprocessing, Vectors
from tests.schedules.children import CROP, Children, pixels_of
from tests.schedules.copies import Copies
from tests.schedules.scheduler import explore, pause, wait_for_some_step

EMBEDDER = "embedder.pipeline.embedder"

MODULES = [
    "embedder.system.threads",
    "embedder.decoding.processes",
    "embedder.pipeline.number_format",
    "embedder.pipeline.rereading",
    EMBEDDER,
]

IMAGES = [[b"good 1", b"crash 2", b"good 3", b"bad 4"], [b"good 5", b"good 6", b"killed 1 7"]]

SCHEDULES = [pytest.param(10, id="short"), pytest.param(1500, id="long", marks=pytest.mark.slow)]

Case = Callable[[Copies, Children], object]


class PixelsAsVectors:
    """A model of one's own: a vector is its picture's pixels."""

    name = "pixels"
    preprocessing = Preprocessing(resize=CROP, crop=CROP, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))

    def encode(self, pixels: Pixels) -> Vectors:
        pause()
        vectors: Vectors = pixels.reshape(len(pixels), -1).astype(np.float32)
        return vectors


class Calls:
    """Two calls at once."""

    def __init__(self, copies: Copies, children: Children) -> None:
        children.begin(budget=1 << 30)
        self.children = children
        self.embedder: Any = copies[EMBEDDER].Embedder(encoder=PixelsAsVectors(), workers=2, batch_size=2)
        self.refused = 0
        self.threads = [copies["threading"].Thread(target=partial(self.call, each)) for each in IMAGES]
        for each in self.threads:
            each.start()

    def call(self, images: list[bytes]) -> None:
        try:
            vectors, failures = self.embedder(images, errors="none")
        except ConfigurationError as error:
            self.refused += "closed" in str(error)
            return
        for image, row, failure in zip(images, vectors, failures, strict=True):
            if image.startswith((b"crash", b"bad")):
                assert failure is not None
            else:
                assert failure is None
                assert row.astype(np.uint8).tobytes() == pixels_of(image)

    def end(self) -> None:
        for each in self.threads:
            each.join()
        self.embedder.close()
        assert not self.children.left()


def two_calls(copies: Copies, children: Children) -> None:
    calls = Calls(copies, children)
    calls.end()
    assert calls.refused == 0


def closed_meanwhile(copies: Copies, children: Children) -> None:
    calls = Calls(copies, children)
    wait_for_some_step(1500)
    calls.embedder.close()
    calls.end()


@pytest.mark.parametrize("schedules", SCHEDULES)
@pytest.mark.parametrize("case", [two_calls, closed_meanwhile])
def test_in_every_order(case: Case, schedules: int) -> None:
    children = Children()
    copies = Copies(*MODULES, modules=children.modules())
    assert explore(partial(case, copies, children), range(schedules)) == schedules
