"""A decoder that crashes or hangs costs its own image, and names it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image

from embedder import isolation
from embedder.config import DEFAULT_MAX_PIXELS
from embedder.decode import Decoder
from embedder.errors import ImageError
from embedder.isolation import IsolatedDecoder
from embedder.models import IMAGENET_PRESET

SABOTAGED = """
import json, os, signal, sys, time
sys.path[:] = json.loads(sys.argv[1])
from embedder import isolation
from embedder.decode import Decoder
decode = Decoder.decode
def sabotaged(self, data):
    if data == b"crash": os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"hang": time.sleep(60)
    return decode(self, data)
Decoder.decode = sabotaged
isolation.serve()
"""


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[IsolatedDecoder]:
    """A pool whose decoder crashes on `crash` and hangs on `hang`."""
    monkeypatch.setattr(isolation, "START", SABOTAGED)
    opened = IsolatedDecoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, reserve=lambda _: nullcontext())
    yield opened
    opened.close()


def photo(side: int = 300) -> bytes:
    pixels = np.random.default_rng(5).integers(0, 256, (side, side + 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_pixels_are_the_decoders(decoder: IsolatedDecoder) -> None:
    expected = Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS).decode(photo())
    assert (decoder.decode(photo()) == expected).all()


def test_a_crash_is_that_images_failure_and_the_next_is_decoded(decoder: IsolatedDecoder) -> None:
    for _ in range(2):
        with pytest.raises(ImageError, match="SIGSEGV") as caught:
            decoder.decode(b"crash")
        assert caught.value.error == "Crashed"
        assert decoder.decode(photo()).shape == (224, 224, 3)


def test_a_hang_ends(decoder: IsolatedDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.decode(photo())  # the child has started
    monkeypatch.setattr(isolation, "DECODE_SECONDS", 0.5)
    with pytest.raises(ImageError, match="stopped after") as caught:
        decoder.decode(b"hang")
    assert caught.value.error == "TooSlow"
    monkeypatch.setattr(isolation, "DECODE_SECONDS", 60.0)
    assert decoder.decode(photo()).shape == (224, 224, 3)


def test_a_bad_image_keeps_its_own_error(decoder: IsolatedDecoder) -> None:
    with pytest.raises(ImageError) as caught:
        decoder.decode(b"<html>not found</html>")
    assert caught.value.error == "NotAnImage"


def test_a_large_image_asks_before_it_takes_memory() -> None:
    asked: list[int] = []

    def reserve(wanted: int) -> nullcontext[None]:
        asked.append(wanted)
        return nullcontext()

    opened = IsolatedDecoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, reserve=reserve)
    try:
        opened.decode(photo())
        assert asked == []
        opened.decode(photo(3000))
        assert asked == [3000 * 3050 * 8]
    finally:
        opened.close()


def test_nothing_starts_once_the_pool_is_closed(decoder: IsolatedDecoder) -> None:
    decoder.close()
    with pytest.raises(RuntimeError, match="ended"):
        decoder.decode(photo())
