"""The fast resampler gives the preset's pixels but for a level here and there, and vectors that are the same."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from PIL import Image

from embedder.decoding import simd
from embedder.decoding.decoder import Decoder
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels
from tests.embedder import corpus, reference
from tests.embedder.pictures import encoded

pytestmark = pytest.mark.skipif(not simd.is_installed(), reason="its package has no wheel for this processor")

EXACT = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS)
FAST = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, exact=False)

SIZES = [(300, 300), (500, 375), (375, 500), (257, 1000), (500, 1000), (500, 1002), (300, 900), (1000, 257), (900, 300)]
SIZES += [(100, 60), (60, 100), (30, 200), (256, 256), (256, 700), (700, 256), (1, 1), (1, 400), (400, 1), (3, 9000)]


def noise(size: tuple[int, int]) -> bytes:
    values = np.random.default_rng(4).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(values), "BMP")


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_a_pixel_in_fifty_is_another_by_a_level(filter: Literal["bilinear", "bicubic"], size: tuple[int, int]) -> None:
    preset = replace(IMAGENET_PRESET, interpolation=filter)
    decoders = [Decoder(preset, max_pixels=DEFAULT_MAX_PIXELS, exact=each) for each in (True, False)]
    exact, fast = (decoder.decode(noise(size)).pixels for decoder in decoders)
    difference = np.abs(exact.astype(int) - fast)
    if max(size) > 16 * min(size):  # there Pillow resizes but the part that is kept, from a place that it rounds
        assert difference.mean() < 0.5
    else:
        assert difference.max() <= 2
        assert (difference > 0).mean() < 0.02


def test_it_is_not_used_where_every_pixel_counts() -> None:
    data = noise((500, 375))
    with Image.open(io.BytesIO(data)) as image:
        assert np.abs(EXACT.decode(data).pixels.astype(int) - reference.pixels(image)).mean() < 1e-3
    assert not np.array_equal(EXACT.decode(data).pixels, FAST.decode(data).pixels)


SOME = ("chelsea.png", "coffee.png", "grass.png", "text.png")
MADE = ("exif-6.jpg", "cmyk.jpg", "32-bit.tif", "hidden.png", "animated.gif", "tall.png")
"""Those whose vectors change the most, and a few others."""


def test_vectors_are_the_same(photographs: list[Path], weights: Path) -> None:
    """With weights that tell pictures apart as strongly as they can."""
    files = [path.read_bytes() for path in photographs if path.name in SOME]
    files += [corpus.MADE[name]() for name in MADE]
    exact, fast = (vectors([decoder.decode(data).pixels for data in files], weights) for decoder in (EXACT, FAST))
    assert len(files) == len(SOME) + len(MADE)
    assert not np.array_equal(exact, fast)
    assert min(reference.cosine(one, other) for one, other in zip(exact, fast, strict=True)) >= 0.9999


def vectors(pictures: list[Pixels], weights: Path) -> reference.Vector:
    """Of pixels that are cropped already, which the preset would resize again."""
    values = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (reference.PRESET.mean, reference.PRESET.std))
    with torch.inference_mode():
        found: reference.Vector = reference._model(weights)((values - mean) / std).numpy()
    return found
