"""A browser, and a small collection with names that no page may believe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from embedder.records import StoredVector
from embedder.sources.folder import file_uri
from tests.embedder.stored import fill, stored
from tests.parts.browser import browsing

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

HOSTILE = (
    "<script>window.hit = 1</script>.png",
    '"><img src=x onerror="window.hit = 1">.png',
    "</script><svg onload='window.hit = 1'>.png",
    "quotes ' \" ` {{ 7 * 7 }} &lt;.png",
    "two\nlines\u2028and more.png",
    "\u202egnp.exe right to left.png",
    "🐈/猫.png",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """A store with its pictures: forty in four colours, those with odd names, one that is gone, one that is none."""

    folder: Path
    store: str
    ids: tuple[str, ...]


@pytest.fixture(scope="session")
def chrome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """One browser for the tests of a worker."""
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="session")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Gathered:
    folder = tmp_path_factory.mktemp("gathered")
    chance = np.random.default_rng(0)
    colours = np.eye(4, 512, dtype=np.float32)
    vectors: list[StoredVector] = []
    ids = [*(f"{('red', 'green', 'blue', 'grey')[number % 4]}/{number:02d}.png" for number in range(40)), *HOSTILE]
    for number, image_id in enumerate([*ids, "gone.png", "broken.png"]):
        path = folder / f"{number}.png"
        if image_id == "broken.png":
            path.write_bytes(b"<html>not an image")
        elif image_id != "gone.png":
            shade = ((200, 40, 40), (40, 160, 40), (40, 40, 200), (128, 128, 128))[number % 4]
            Image.new("RGB", (60, 40), shade).save(path)
        vector = colours[number % 4] + 0.02 * chance.normal(size=512).astype(np.float32)
        if image_id == HOSTILE[0]:  # the same again
            vector = np.frombuffer(vectors[number % 4].vector, "<f4")
        vectors.append(stored(image_id, number, vector=vector.astype("<f4").tobytes(), source=file_uri(path)))
    store = str(folder / "vectors.db")
    fill(store, vectors)
    return Gathered(folder=folder, store=store, ids=tuple(each.image_id for each in vectors))
