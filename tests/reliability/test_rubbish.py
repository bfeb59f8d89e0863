"""Every kind of rubbish: a failure with a name, in bounded memory, and nobody else's vector is touched."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from embedder import embed, read
from embedder.decoding.processes import IsolatedDecoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
from tests.cli import ROOT
from tests.embedder import corpus
from tests.embedder.conftest import UseEnvironment
from tests.embedder.pictures import encoded, jpeg, png, put
from tests.embedder.pipeline.test_stages import failures
from tests.embedder.stand_in import PixelEncoder
from tests.parts import fault_proxy
from tests.parts.fault_proxy import Fault, Request
from tests.parts.s3 import S3
from tests.reliability.decoding import FAILURES, outcome, small_files

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
"""What Pillow thinks of broken metadata; a run's decoders keep it to themselves."""

FILES = small_files()

WHOLE_FIRST = {"several.mpo.jpg", "animated.png", "animated.gif", "animated.webp", "several.tif"}
"""Their first picture lies before the others, and is whole where only those are cut."""
SLACK = 40
"""Bytes behind the last pixel of the others: an end marker, a checksum, padding."""


class TestCut:
    @pytest.mark.parametrize("name", FILES)
    def test_at_many_offsets(self, name: str) -> None:
        self.check(name, step=max(1, len(FILES[name]) // 60))

    @pytest.mark.slow
    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("name", FILES)
    def test_at_every_offset(self, name: str) -> None:
        self.check(name, step=1)

    def check(self, name: str, step: int) -> None:
        """Cut the file every `step` bytes, and at each of its last hundred."""
        data, whole = FILES[name], outcome(FILES[name])
        assert not isinstance(whole, str)
        for length in sorted({*range(0, len(data), step), *range(max(0, len(data) - 100), len(data))}):
            found = outcome(data[:length])
            if isinstance(found, str):
                assert found in FAILURES, length
            else:
                assert np.array_equal(found, whole), f"guessed from {length} of {len(data)} bytes"
                assert length >= len(data) - SLACK or name in WHOLE_FIRST, length


CHECKED = {"plain.png", "turned.png", "1-bit.png", "palette.png", "16-bit.png"}
"""Files whose every pixel is covered by a checksum."""


@pytest.fixture(scope="module")
def decoder() -> Iterator[IsolatedDecoder]:
    """The children that a run decodes in."""
    opened = IsolatedDecoder(IMAGENET_PRESET, max_pixels=2_000_000, reserve=lambda _: nullcontext())
    yield opened
    opened.close()


def damaged(data: bytes, chance: random.Random) -> bytes:
    """The file after one to eight accidents: mostly bits that flip, more often near its beginning."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 8))):
        at = chance.randrange(min(len(found), chance.choice((64, 512, 10**9))))
        kind = chance.random()
        if kind < 0.7:
            found[at] ^= 1 << chance.randrange(8)
        elif kind < 0.8:
            found[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"))
        elif kind < 0.9:
            del found[at : at + chance.randrange(1, 30)]
        else:
            found[at:at] = chance.randbytes(chance.randrange(1, 30))
    return bytes(found) or b"\0"


class TestDamaged:
    def test_thousands_of_files(self, decoder: IsolatedDecoder) -> None:
        self.check(decoder, 3000, seed=1)

    @pytest.mark.slow
    @pytest.mark.timeout(3600)
    def test_a_hundred_thousand_files(self, decoder: IsolatedDecoder) -> None:
        self.check(decoder, 100_000, seed=2)

    def check(self, decoder: IsolatedDecoder, count: int, seed: int) -> None:
        chance = random.Random(seed)
        names = sorted(FILES)
        whole = {name: outcome(FILES[name]) for name in names}
        work = [(name := chance.choice(names), damaged(FILES[name], chance)) for _ in range(count)]

        def one(item: tuple[str, bytes]) -> str:
            try:
                found = decoder.decode(item[1]).pixels
            except ImageError as error:
                return error.error
            assert found.shape == (224, 224, 3)
            return "same" if np.array_equal(found, whole[item[0]]) else "another"

        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(one, work, timeout=1500))
        outcomes = Counter(found)
        print(outcomes)
        assert set(outcomes) <= {*FAILURES, "same", "another"}
        assert outcomes["Corrupt"] > count / 20
        pairs = Counter((name, result) for (name, _), result in zip(work, found, strict=True))
        assert {kind for (name, kind) in pairs if name.endswith("plain.jpg")} >= {"Corrupt"}
        # The children are still of use.
        for name in names:
            assert np.array_equal(decoder.decode(FILES[name]).pixels, whole[name]), name

    @pytest.mark.parametrize("name", sorted(CHECKED))
    def test_what_has_a_checksum_is_never_another_picture(self, name: str) -> None:
        data, whole, chance = FILES[name], outcome(FILES[name]), random.Random(name)
        pixels_begin, pixels_end = data.index(b"IDAT") + 4, data.rindex(b"IEND") - 8
        for _ in range(300):
            broken = bytearray(data)
            broken[chance.randrange(pixels_begin, pixels_end)] ^= 1 << chance.randrange(8)
            found = outcome(bytes(broken))
            assert isinstance(found, str) or np.array_equal(found, whole)


HUGE = 50_000


def patched(data: bytes, format: str) -> bytes:
    """A small file that claims to be 50,000 × 50,000."""
    found = bytearray(data)
    if format == "JPEG":
        at = found.index(b"\xff\xc0") + 5
        found[at : at + 4] = struct.pack(">HH", HUGE, HUGE)
    elif format == "PNG":
        found[16:24] = struct.pack(">II", HUGE, HUGE)
        found[29:33] = struct.pack(">I", zlib.crc32(found[12:29]))
    elif format == "GIF":
        found[6:10] = struct.pack("<HH", HUGE, HUGE)
        at = found.index(b",\0\0\0\0") + 5
        found[at : at + 4] = struct.pack("<HH", HUGE, HUGE)
    elif format == "BMP":
        found[18:26] = struct.pack("<II", HUGE, HUGE)
    elif format == "AVIF":
        at = found.index(b"ispe") + 8
        found[at : at + 8] = struct.pack(">II", HUGE, HUGE)
    elif format == "WEBP":  # 14 bits are the most that it can say
        at = found.index(b"VP8L") + 9
        found[at : at + 4] = struct.pack("<I", 0x3FFF | 0x3FFF << 14)
    else:
        for tag in (256, 257, 278):
            at = found.index(struct.pack("<HH", tag, 3))
            found[at + 2 : at + 12] = struct.pack("<HII", 4, 1, HUGE)
    return bytes(found)


def honest() -> bytes:
    """A PNG of 50,000 × 50,000 white pixels, one bit each: all of them are there."""
    packer, row = zlib.compressobj(1), b"\0" + b"\xff" * (HUGE // 8)
    packed = b"".join([packer.compress(row * 1000) for _ in range(HUGE // 1000)]) + packer.flush()
    header = struct.pack(">IIBBBBB", HUGE, HUGE, 1, 0, 0, 0, 0)
    chunk = corpus.png_chunk
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def zipped_png(kind: bytes, start: bytes, times: int) -> bytes:
    """A PNG with chunks that become 64 MB each."""
    plain, chunk = png(), corpus.png_chunk(kind, start + zlib.compress(bytes(64 << 20), 1))
    return plain[:33] + chunk * times + plain[33:]


def many_frames() -> bytes:
    """An animation of three hundred pictures of 4 megapixels, which are 1.2 GB."""
    frame = Image.new("P", (2000, 2000))
    data = encoded(frame, "GIF")
    body = data[data.index(b",") : -1]
    return data[:-1] + body * 300 + b";"


def circle() -> bytes:
    """A TIFF whose directories lead round in a circle."""
    data = bytearray(encoded(Image.new("L", (50, 50)), "TIFF"))
    directory = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[directory : directory + 2])[0]
    data[directory + 2 + 12 * count : directory + 6 + 12 * count] = struct.pack("<I", directory)
    return bytes(data)


def bombs() -> dict[str, bytes]:
    image = Image.new("RGB", (64, 64), "red")
    options: dict[str, dict[str, Any]] = {
        **{format: {} for format in ("JPEG", "PNG", "GIF", "BMP", "AVIF")},
        "WEBP": {"lossless": True},
        "TIFF": {"compression": "tiff_lzw"},
    }
    claims = {
        f"claims.{format.lower()}": patched(encoded(image, format, **chosen), format)
        for format, chosen in options.items()
    }
    return {
        **claims,
        "honest.png": honest(),
        "texts.png": zipped_png(b"zTXt", b"Comment\0\0", 10),
        "profile.png": zipped_png(b"iCCP", b"p\0\0", 1),
        "frames.gif": many_frames(),
        "circle.tif": circle(),
    }


CAPPED = """
import json, sys, time
from pathlib import Path
from embedder.decoding.decoder import Decoder
from embedder.errors import ImageError
from embedder.models.catalog import IMAGENET_PRESET
def memory(key): return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) >> 10
decoder = Decoder(IMAGENET_PRESET, max_pixels=178956970)
before, began = memory("VmRSS"), time.monotonic()
try: decoder.decode(Path(sys.argv[1]).read_bytes()); result = "picture"
except ImageError as error: result = error.error
print(json.dumps([result, memory("VmHWM") - before, time.monotonic() - began]))
"""

BOMB_MEGABYTES = 200
"""More than any of them takes; the honest ones would be 2,500 to 10,000."""


CLAIMS = tuple(f"claims.{each}" for each in ("jpeg", "png", "gif", "bmp", "avif", "webp", "tiff"))
OTHERS = ("honest.png", "texts.png", "profile.png", "frames.gif", "circle.tif")


@pytest.mark.parametrize("name", [*CLAIMS, *OTHERS])
def test_a_bomb_takes_no_memory(name: str, tmp_path: Path, all_bombs: dict[str, bytes]) -> None:
    path = tmp_path / name
    path.write_bytes(all_bombs[name])
    command = [sys.executable, "-W", "ignore", "-c", CAPPED, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result, megabytes, seconds = json.loads(done.stdout)
    print(f"{name}: {len(all_bombs[name]):,} bytes, {result}, {megabytes} MB, {seconds:.1f} s")
    assert megabytes < BOMB_MEGABYTES
    assert result in (FAILURES if name in (*CLAIMS, "honest.png") else {*FAILURES, "picture"})


@pytest.fixture(scope="module")
def all_bombs() -> dict[str, bytes]:
    return bombs()


def test_a_folder_of_all_of_it(encoder: PixelEncoder, tmp_path: Path, all_bombs: dict[str, bytes]) -> None:
    """Every bad thing at once: each is counted by its name, and the good ones' vectors are the same to the last bit."""
    good = tmp_path / "good"
    names = ["1.jpg", "zwei.png.jpg", "new\nline.jpg", "tab\t.jpg", "\N{CAT FACE}.jpg", "e\u0301.jpg", "\u00e9.jpg"]
    names += [" .jpg", "-r.jpg", "%2e.jpg", "a\u2028b.jpg"]
    put(good, *names)
    os.link(good / "1.jpg", os.fsencode(good) + b"/\xff\xfe.jpg")
    alone = embed(good, tmp_path / "alone.db", weights="random")
    assert (alone.embedded, alone.failed) == (len(names) + 1, 0)
    bad = {
        "empty.jpg": (b"", "Empty"),
        "page.jpg": (b"<!DOCTYPE html><html></html>", "NotAnImage"),
        "zeros.jpg": (bytes(5000), "NotAnImage"),
        "cut.jpg": (jpeg()[:-200], "Corrupt"),
        "closed.jpg": (jpeg()[:-200] + b"\xff\xd9", "Corrupt"),
        "bomb.png": (all_bombs["claims.png"], "TooManyPixels"),
        "bomb.tif": (all_bombs["claims.tiff"], "TooManyPixels"),
        "bomb.gif": (all_bombs["claims.gif"], "TooManyPixels"),
        "honest.png": (all_bombs["honest.png"], "TooManyPixels"),
    }
    for name, (data, _) in bad.items():
        (good / name).write_bytes(data)
    expected = {name: error for name, (_, error) in bad.items()}
    (good / "folder.jpg").mkdir()
    os.mkfifo(good / "pipe.jpg")
    (good / "device.jpg").symlink_to("/dev/zero")
    (good / "nowhere.jpg").symlink_to("nothing")
    (good / "unreadable.jpg").symlink_to("/proc/self/mem")  # a file that opens, and whose reading fails
    if os.geteuid():  # root may read everything
        (good / "forbidden.jpg").write_bytes(jpeg())
        (good / "forbidden.jpg").chmod(0)
        expected["forbidden.jpg"] = "Unreadable"
    (good / "loop.jpg").symlink_to("loop.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(good)
        try:
            listening.bind("socket.jpg")
        finally:
            os.chdir(here)
        report = embed(good, tmp_path / "all.db", weights="random", failures=tmp_path / "f.jsonl")
    expected |= dict.fromkeys(("pipe.jpg", "device.jpg", "socket.jpg"), "NotAFile")
    expected |= dict.fromkeys(("nowhere.jpg", "loop.jpg", "unreadable.jpg"), "Unreadable")
    assert {name: line["error"] for name, line in failures(tmp_path / "f.jsonl").items()} == expected
    assert (report.embedded, report.failed, report.exit_code) == (len(names) + 1, len(expected), 0)
    ids, vectors = read(str(tmp_path / "alone.db"))
    again, found = read(str(tmp_path / "all.db"))
    assert ids == again
    assert set(ids) == {*names, "\\xff\\xfe.jpg"}
    assert np.array_equal(vectors.view(np.uint32), found.view(np.uint32))
    assert encoder.opened == 2


def test_the_same_neighbours_whoever_is_in_the_batch(weights: Path, tmp_path: Path) -> None:
    """With a real model: what fails leaves no gap that moves a neighbour's numbers."""
    put(tmp_path / "clean", *(f"{number:02d}.jpg" for number in range(12)))
    put(tmp_path / "mixed", *(f"{number:02d}.jpg" for number in range(12)))
    for number in range(12):
        (tmp_path / "mixed" / f"{number:02d}-bad.jpg").write_bytes(jpeg(number)[: 100 + 40 * number])
    options: dict[str, Any] = {
        "weights": weights,
        "device": "cpu",
        "engine": "torch",
        "precision": "full",
        "batch_size": 1,
    }
    assert embed(tmp_path / "clean", tmp_path / "clean.db", **options).failed == 0
    assert embed(tmp_path / "mixed", tmp_path / "mixed.db", **options).failed == 12
    ids, vectors = read(str(tmp_path / "clean.db"))
    again, found = read(str(tmp_path / "mixed.db"))
    assert ids == again
    assert np.array_equal(vectors.view(np.uint32), found.view(np.uint32))


class TestDamagedOnTheWay:
    def spoilt(self, body: bytes) -> Fault:
        """An answer of S3 whose body is not what is stored."""

        def answer(_: Request) -> bytes:
            head = f'HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nETag: "0123456789abcdef0123456789abcdef"\r\n\r\n'
            return head.encode() + body

        return Fault(answer=answer)

    @pytest.mark.parametrize("times", [0, 1, 2])
    def test_an_object_is_fetched_once_more_before_it_is_called_corrupt(
        self, times: int, encoder: PixelEncoder, bucket: S3, use_environment: UseEnvironment, tmp_path: Path
    ) -> None:
        bucket.put({"images/1.jpg": jpeg(1), "images/2.jpg": jpeg(2)})
        with fault_proxy.before(bucket.endpoint) as proxy:
            use_environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint})
            damage = self.spoilt(jpeg(1)[:-300] + b"\xff\xd9")
            proxy.choose = fault_proxy.at_first(times, damage, only=r"GET /\S+/images/1\.jpg$")
            report = embed(bucket.uri("images/"), tmp_path / "v.db", weights="random", failures=tmp_path / "f.jsonl")
        requests = {what: proxy.passed[what] + proxy.spoilt[what] for what in {*proxy.passed, *proxy.spoilt}}
        assert requests[f"GET /{bucket.bucket}/images/1.jpg"] == min(times, 1) + 1
        assert requests[f"GET /{bucket.bucket}/images/2.jpg"] == 1
        assert (report.embedded, report.failed) == ((2, 0) if times < 2 else (1, 1))
        if times == 2:
            assert failures(tmp_path / "f.jsonl")["images/1.jpg"]["error"] == "Corrupt"
        assert encoder.opened == 1

    def test_what_is_corrupt_in_the_bucket_is_read_twice(
        self, encoder: PixelEncoder, bucket: S3, use_environment: UseEnvironment, tmp_path: Path
    ) -> None:
        bucket.put({"images/1.jpg": jpeg(1)[:-100], "images/2.jpg": jpeg(2)})
        with fault_proxy.before(bucket.endpoint) as proxy:
            use_environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint})
            report = embed(bucket.uri("images/"), tmp_path / "v.db", weights="random")
        assert proxy.passed[f"GET /{bucket.bucket}/images/1.jpg"] == 2
        assert report.failures_by_cause == {"decode: Corrupt": 1}
        assert (report.embedded, encoder.opened) == (1, 1)
