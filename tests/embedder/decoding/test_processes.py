"""A decoder that crashes or hangs costs its own image, and names it."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedder.decoding import processes
from embedder.decoding.decoder import Decoder
from embedder.decoding.processes import IsolatedDecoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels
from embedder.system.threads import Budget
from tests.embedder import corpus

SABOTAGED = """
import json, os, signal, sys, time, warnings
sys.path[:] = json.loads(sys.argv[1])
from embedder.decoding import processes
from embedder.decoding.decoder import Decoder
decode = Decoder.decode
def sabotaged(self, data):
    if data == b"crash": os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"hang": time.sleep(60)
    if data == b"noise":
        os.write(1, b"noise"), os.write(2, b"noise"), warnings.warn("noise")
        data = PHOTO
    if data.startswith(b"kill") and (data == b"kill" or not os.path.exists(data[5:])):
        data == b"kill" or open(data[5:], "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if data.startswith(b"kill "): data = PHOTO
    return decode(self, data)
Decoder.decode = sabotaged
processes.serve()
"""


def photo(side: int = 300, seed: int = 5) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side + 50, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def expected(data: bytes) -> Pixels:
    return Decoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS).decode(data).pixels


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[IsolatedDecoder]:
    """A pool whose decoder crashes on `crash`, hangs on `hang` and is killed on `kill`.

    `kill PATH` kills it once, which the file at PATH then says, and is a photograph afterwards.
    """
    monkeypatch.setattr(processes, "START", SABOTAGED.replace("PHOTO", repr(photo(30))))
    opened = IsolatedDecoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, reserve=Budget(1 << 30).reserve)
    yield opened
    opened.close()


def test_the_pixels_are_the_decoders(decoder: IsolatedDecoder) -> None:
    assert (decoder.decode(photo()).pixels == expected(photo())).all()


def test_a_crash_is_that_images_failure_and_the_next_is_decoded(decoder: IsolatedDecoder) -> None:
    for _ in range(2):
        with pytest.raises(ImageError, match="SIGSEGV") as caught:
            decoder.decode(b"crash")
        assert caught.value.error == "Crashed"
        assert decoder.decode(photo()).pixels.shape == (224, 224, 3)


def test_who_is_killed_for_want_of_memory_is_tried_again_alone(
    decoder: IsolatedDecoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    reserve = decoder.reserve

    @contextmanager
    def noted(wanted: int) -> Iterator[None]:
        held.append(wanted)
        with reserve(wanted):
            yield

    monkeypatch.setattr(decoder, "reserve", noted)
    assert (decoder.decode(f"kill {tmp_path / 'once'}".encode()).pixels == expected(photo(30))).all()
    assert held == [processes.ALL_MEMORY]
    with pytest.raises(ImageError, match="killed twice") as caught:
        decoder.decode(b"kill")
    assert (caught.value.error, caught.value.transient) == ("Crashed", False)
    assert (decoder.decode(photo()).pixels == expected(photo())).all()


def test_crashes_beside_each_other_harm_no_neighbour(decoder: IsolatedDecoder, tmp_path: Path) -> None:
    good = {photo(60, seed): expected(photo(60, seed)) for seed in range(6)}
    killed = [f"kill {tmp_path / str(number)}".encode() for number in range(4)]
    work = [*good, b"crash", *good, *killed, b"kill", *good, b"crash", b"<html>", *good, b"crash"] * 2

    def outcome(data: bytes) -> str:
        try:
            found = decoder.decode(data).pixels
        except ImageError as error:
            return error.error
        wanted = good[data] if data in good else expected(photo(30))
        return "right" if (found == wanted).all() else "wrong"

    with ThreadPoolExecutor(4) as threads:
        found = Counter(zip(work, threads.map(outcome, work), strict=True))
    assert {outcome for data, outcome in found if data in good or data in killed} == {"right"}
    assert found[b"crash", "Crashed"] == 6
    assert found[b"kill", "Crashed"] == 2
    assert found[b"<html>", "NotAnImage"] == 2


def test_what_a_decoder_prints_is_seen_by_nobody(decoder: IsolatedDecoder, capfd: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (50, 50)).save(buffer, "TIFF", compression="tiff_lzw")
    broken = bytearray(buffer.getvalue())
    broken[8:40] = bytes(32)  # libtiff complains on stderr
    with pytest.raises(ImageError):
        decoder.decode(bytes(broken))
    assert (decoder.decode(b"noise").pixels == expected(photo(30))).all()
    assert capfd.readouterr() == ("", "")


def test_a_hang_ends(decoder: IsolatedDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder.decode(photo())  # the child has started
    monkeypatch.setattr(processes, "DECODE_SECONDS", 0.5)
    with pytest.raises(ImageError, match="stopped after") as caught:
        decoder.decode(b"hang")
    assert caught.value.error == "TooSlow"
    monkeypatch.setattr(processes, "DECODE_SECONDS", 60.0)
    assert decoder.decode(photo()).pixels.shape == (224, 224, 3)


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
        assert asked == [3000 * 3050 * 12]
    finally:
        opened.close()


def test_what_is_known_of_the_file_comes_along(decoder: IsolatedDecoder) -> None:
    found = decoder.decode(photo()[:-12])
    assert (found.width, found.height, found.format, found.notices) == (350, 300, "PNG", ("NoEndMarker",))
    assert np.array_equal(found.pixels, expected(photo()))


def test_a_large_file_that_is_mended_asks_for_memory_twice_and_holds_it_once() -> None:
    held: list[int] = []
    most: list[int] = []

    @contextmanager
    def reserve(wanted: int) -> Iterator[None]:
        held.append(wanted)
        most.append(sum(held))
        yield
        held.remove(wanted)

    buffer = io.BytesIO()
    Image.new("RGB", (3000, 3000), "red").save(buffer, "JPEG")
    opened = IsolatedDecoder(IMAGENET_PRESET, max_pixels=DEFAULT_MAX_PIXELS, reserve=reserve)
    try:
        for _ in range(2):
            assert opened.decode(buffer.getvalue()[:-2]).notices == ("NoEndMarker",)
        assert most == [3000 * 3000 * 8] * 4
        assert held == []
    finally:
        opened.close()


def test_the_options_reach_the_processes() -> None:
    whole = corpus.MADE["full-colour.jpg"]()
    options: dict[str, Any] = {"max_pixels": DEFAULT_MAX_PIXELS, "exact": False, "damaged": True}
    direct = Decoder(IMAGENET_PRESET, **options)
    opened = IsolatedDecoder(IMAGENET_PRESET, reserve=lambda _: nullcontext(), **options)
    try:
        for data in (whole, whole[: len(whole) // 2]):
            found, wanted = opened.decode(data), direct.decode(data)
            assert np.array_equal(found.pixels, wanted.pixels)
            assert found.notices == wanted.notices == (("Damaged",) if data is not whole else ())
    finally:
        opened.close()


def test_nothing_starts_once_the_pool_is_closed(decoder: IsolatedDecoder) -> None:
    decoder.close()
    with pytest.raises(RuntimeError, match="ended"):
        decoder.decode(photo())
